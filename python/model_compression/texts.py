"""Texts to the Parquet files of token ids that recipes and commands read."""

import os
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from pathlib import Path

_BATCH = 1000  # texts at once


def tokenize(
    texts,
    tokenizer,
    output: str | os.PathLike,
    *,
    max_length: int = 128,
    text: str = "text",
    pair: str | None = None,
    labels: str | None = None,
    padding: bool = True,
) -> Path:
    """Writes what `tokenizer` makes of `texts` to the Parquet file `output`, and gives its path.

    texts: a list of texts, or columns (a mapping, a `datasets.Dataset`, an Arrow table) of which `text` and
    `pair` (for pairs of sentences) name the texts and `labels` the labels ("label" or "labels" where there is
    one). tokenizer: one of `transformers`, the name or folder of one, or a function of texts (and pairs) that
    gives {column: lists}. Each text is cut at `max_length` tokens and, with `padding`, filled up to it, so that
    the file is read without copying; without, lists keep their lengths and readers fill them up with zeros.
    """
    pyarrow = _pyarrow()
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, is {max_length}")
    columns = _columns(texts, text, pair, labels)
    encode, size = _encoder(tokenizer, max_length, padding)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(output.name + ".part")
    try:
        _write(pyarrow, temporary, columns, encode, size)
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)
    return output


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ImportError("writing Parquet files needs the package pyarrow: pip install pyarrow") from None
    return pyarrow


def _columns(texts, text: str, pair: str | None, labels: str | None) -> dict[str, list]:
    """{"text", "pair", "labels"}: lists of one length, those that there are."""
    source = _named_columns(texts, text)
    wanted = {"text": text}
    if pair is not None:
        wanted["pair"] = pair
    labels = labels or next((name for name in ("label", "labels") if name in source), None)
    if labels is not None:
        wanted["labels"] = labels
    for name in wanted.values():
        if name not in source:
            raise ValueError(f"there is no column '{name}'; there are {', '.join(source)}")
    columns = {role: _as_list(source[name]) for role, name in wanted.items()}
    for role, column in columns.items():
        if len(column) != len(columns["text"]):
            raise ValueError(f"{wanted[role]} has {len(column)} rows, {text} has {len(columns['text'])}")
        kind = Real if role == "labels" else str
        for row, value in enumerate(column):
            if not isinstance(value, kind):
                what = "label" if role == "labels" else "text"
                raise TypeError(f"{wanted[role]}, row {row}: {value!r:.50} is no {what}")
    if not columns["text"]:
        raise ValueError("there are no texts")
    return columns


def _named_columns(texts, text: str) -> Mapping:
    if isinstance(texts, (str, bytes)):
        raise TypeError("texts is a list of texts or columns, not one text")
    if isinstance(texts, Mapping):
        return texts
    if hasattr(texts, "column_names"):  # datasets, Arrow
        return {name: texts[name] for name in texts.column_names}
    if isinstance(texts, Iterable):
        return {text: list(texts)}
    raise TypeError(f"texts is a list of texts or columns, not {type(texts).__name__}")


def _as_list(column) -> list:
    for method in ("to_pylist", "tolist"):
        if hasattr(column, method):
            return getattr(column, method)()
    return list(column)


def _encoder(tokenizer, max_length: int, padding: bool) -> tuple[Callable[..., Mapping], int]:
    """A function of texts, and how many tokens it makes of each (-1: it varies)."""
    if isinstance(tokenizer, (str, os.PathLike)):
        try:
            from transformers import AutoTokenizer
        except ImportError:
            raise ImportError("a tokenizer by name needs the package transformers") from None
        tokenizer = AutoTokenizer.from_pretrained(os.fspath(tokenizer))
    if not callable(tokenizer):
        raise TypeError(
            f"tokenizer is a tokenizer of transformers or a function, not {type(tokenizer).__name__}"
        )
    if not hasattr(tokenizer, "pad"):  # a plain function
        return tokenizer, -1

    def encode(*texts):
        return tokenizer(
            *texts, truncation=True, max_length=max_length, padding="max_length" if padding else False
        )

    return encode, max_length if padding else -1


def _write(pyarrow, path: Path, columns: dict[str, list], encode, size: int) -> None:
    writer = None
    sources = [columns[role] for role in ("text", "pair") if role in columns]
    try:
        for begin in range(0, len(columns["text"]), _BATCH):
            part = slice(begin, begin + _BATCH)
            encoded = dict(encode(*(source[part] for source in sources)))
            arrays = {name: _token_array(pyarrow, rows, size) for name, rows in encoded.items()}
            if "labels" in columns:
                arrays["labels"] = pyarrow.array(columns["labels"][part])
            table = pyarrow.table(arrays)
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(path, table.schema)
            writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()


def _token_array(pyarrow, rows, size: int):
    """Lists of ids as int64: of `size` each, or of any length where it is -1."""
    return pyarrow.array([[int(each) for each in row] for row in rows], pyarrow.list_(pyarrow.int64(), size))
