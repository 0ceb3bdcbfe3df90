"""What a command found: the JSON document that the program prints with --json, as an object."""

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SHOWN_ROWS = 60  # of a table in a notebook
_LONGEST_CELL = 120  # characters: a run's report holds its whole recipe


class Report(Mapping):
    """A command's JSON document (docs/cli.md says what is in it), with attributes for what people do with it.

    `report["layers"]` is the document's value, `print(report)` the program's table, `report.to_pandas()` a frame
    of its rows. A report of what was written also has `path`.
    """

    def __init__(self, document: dict, *, text: str = "", passed: bool = True, path=None, keep=None):
        self._document = document
        self._text = text
        self._keep = keep  # owns the files that `path` names, where nobody else does
        self.passed = passed
        self.path = None if path is None else Path(path)

    def __getitem__(self, key: str) -> Any:
        return self._document[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __repr__(self) -> str:
        return self._text.rstrip("\n")

    def to_dict(self) -> dict:
        """The document as plain dictionaries and lists."""
        return json.loads(json.dumps(self._document))

    def to_bytes(self) -> bytes:
        """The model that was written. One with external data does not fit: read `path` then."""
        if self.path is None or not self.path.is_file():
            raise ValueError("this report is not of a command that writes a model")
        return self.path.read_bytes()

    def tables(self) -> list[str]:
        """Where the document has rows, longest first: names for `to_pandas`."""
        found = sorted(_tables(self._document), key=lambda table: -len(table[1]))
        return [name for name, _ in found]

    def to_pandas(self, table: str | None = None):
        """A pandas.DataFrame of one of `tables()` ("layers", "pairs.0.outputs"), the longest unless named.

        A document without rows is one row.
        """
        import pandas

        rows = dict(_tables(self._document))
        if table is None:
            names = self.tables()
            if not names:
                return pandas.DataFrame([_scalars(self._document)])
            table = names[0]
        if table not in rows:
            raise KeyError(f"there is no table '{table}'; there are {', '.join(rows) or 'none'}")
        return pandas.json_normalize(rows[table])

    def _repr_html_(self) -> str:
        parts = [_html_table([_scalars(self._document)], across=False)]
        for name, rows in _tables(self._document):
            parts.append(f"<h4>{html.escape(name)}</h4>{_html_table(rows[:_SHOWN_ROWS])}")
            if len(rows) > _SHOWN_ROWS:
                parts.append(f"<p>and {len(rows) - _SHOWN_ROWS} more</p>")
        return "\n".join(parts)


def _scalars(document: dict, where: str = "") -> dict:
    """What is neither rows nor missing, by dotted names ("metric.before")."""
    found = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found |= _scalars(value, f"{where}{key}.")
        elif value is not None and not _is_table(value):
            found[where + key] = value
    return found


def _is_table(value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _tables(value, where: str = ""):
    """(dotted name, rows) of every list of objects, outermost first."""
    if isinstance(value, list):
        if _is_table(value):
            yield where, value
        children = enumerate(value)
    else:
        children = value.items()
    for key, child in children:
        if isinstance(child, (dict, list)):
            yield from _tables(child, f"{where}.{key}" if where else str(key))


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (dict, list)):
        value = json.dumps(value)
    text = "" if value is None else str(value)
    return html.escape(text if len(text) <= _LONGEST_CELL else text[:_LONGEST_CELL] + " …")


def _html_table(rows: list[dict], across: bool = True) -> str:
    if not across:  # one row, its names in the first column
        lines = "".join(
            f"<tr><th>{_cell(key)}</th><td>{_cell(value)}</td></tr>" for key, value in rows[0].items()
        )
        return f"<table>{lines}</table>"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f"<th>{_cell(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row.get(column))}</td>" for column in columns) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
