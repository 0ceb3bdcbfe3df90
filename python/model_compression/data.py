"""Samples that Python holds, for the native core: nothing is copied where the layout allows.

A set of samples is one of
- {name of an input: array, "labels": array} (first axis the sample),
- a torch `TensorDataset`, another map-style `Dataset` (read when needed), or an iterable of batches such as a
  `DataLoader`, read once and held,
- a `datasets.Dataset`, or whatever else gives an Arrow table (`__arrow_c_stream__`: pyarrow, pandas, polars),
  whose columns are inputs; one with a transform is read as a map-style `Dataset`, a streamed one once,
- and {"train": set, "test": set} of these, a `datasets.DatasetDict` for one.

A batch is {name: tensor}, one tensor, or (inputs..., labels). Of columns by name, those that are inputs or
labels count.
"""

import difflib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from model_compression import _core
from model_compression._commands import file_name
from model_compression.arrays import as_tensor

_LABELS = ("labels", "label")
_SPLITS = ("train", "test", "validation")
_ROWS = 1000  # read at once from a stream

Inputs = Sequence[tuple[str, torch.dtype, list[int]]]  # as _core.model_inputs gives them


@dataclass
class Source:
    """What stands behind --data, and what keeps it there."""

    name: str
    registered: object = None


def open_source(data, inputs: Inputs = ()) -> Source:
    """`data` for a model with these `inputs` (none where no model is known yet)."""
    if isinstance(data, (str, os.PathLike)):
        return Source(file_name("data", data))
    splits = _splits(data) if _is_splits(data) else {"": data}
    sets = {name: open_set(part, inputs) for name, part in splits.items()}
    if "test" not in sets and "validation" in sets:
        sets["test"] = sets["validation"]
    registered = _core.register_data(sets)
    return Source(registered.source, registered)


def _is_splits(data) -> bool:
    if not isinstance(data, Mapping) or not data:
        return False
    return all(key in _SPLITS for key in data) or all(map(_is_hugging_face, data.values()))


def _splits(data: Mapping) -> dict:
    known = {name: data[name] for name in _SPLITS if name in data}
    if not known:
        raise ValueError(f"data has the splits {', '.join(data)}; none of them is {', '.join(_SPLITS)}")
    return known


def open_set(data, inputs: Inputs = ()):
    """A native dataset of one set of samples."""
    if isinstance(data, _core.Dataset):
        return data
    if _is_hugging_face(data):
        return _from_hugging_face(data, inputs)
    if isinstance(data, Mapping):
        return _from_arrays(data, inputs)
    if hasattr(data, "__arrow_c_stream__"):
        return _from_arrow(data, inputs)
    if isinstance(data, torch.utils.data.TensorDataset):
        return _from_batches([data.tensors], inputs)
    if isinstance(data, torch.utils.data.IterableDataset):
        return _from_batches(torch.utils.data.DataLoader(data, batch_size=64), inputs)
    if isinstance(data, torch.utils.data.Dataset):
        return _from_samples(data, inputs)
    if isinstance(data, torch.Tensor) or hasattr(data, "__dlpack__"):
        return _from_batches([data], inputs)
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        return _from_batches(data, inputs)
    raise TypeError(
        "data is a path, arrays by input name, a Dataset, an Arrow table or an iterable of batches, not "
        f"{type(data).__name__}"
    )


def _is_hugging_face(data) -> bool:
    datasets = sys.modules.get("datasets")  # whoever has such an object has imported it
    return datasets is not None and isinstance(data, (datasets.Dataset, datasets.IterableDataset))


def _from_hugging_face(data, inputs: Inputs):
    if not hasattr(data, "__len__"):  # streamed
        import pyarrow

        tables = list(data.with_format("arrow").iter(batch_size=_ROWS))
        if not tables:
            raise ValueError("data has no samples")
        return _from_arrow(pyarrow.concat_tables(tables), inputs)
    if data.format["type"] == "custom":  # a transform, such as one that decodes images
        return _from_samples(data, inputs)
    return _from_arrow(data.with_format("arrow")[:], inputs)


def _from_arrow(table, inputs: Inputs):
    return _core.arrow_dataset(table.__arrow_c_stream__(), "data", list(inputs))


def _from_arrays(data: Mapping, inputs: Inputs):
    names, arrays, labels = _split_mapping(data)
    known = [name for name, *_ in inputs]
    # One array fits one input under any name; otherwise a name that nobody asks for is a mistake.
    if known and not (len(known) == 1 and len(names) == 1):
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, [*known, "labels"], n=1)
                advice = f" (did you mean '{near[0]}'?)" if near else ""
                raise ValueError(
                    f"data has '{name}'{advice}, which is neither an input of the model nor `labels`; its "
                    f"inputs are {', '.join(known)}"
                )
    return _core.memory_dataset(names, [(arrays, labels)])


def _split_mapping(batch: Mapping):
    names, arrays, labels = [], [], None
    for name, value in batch.items():
        if not isinstance(name, str):
            raise TypeError(f"names of arrays are text, not {name!r}")
        tensor = as_tensor(value, f"data['{name}']")
        if name in _LABELS:
            labels = tensor
        else:
            names.append(name)
            arrays.append(tensor)
    return names, arrays, labels


def _relevant(sample, inputs: Inputs):
    """Of columns by name those that the model takes, and labels."""
    names = [name for name, *_ in inputs]
    if not isinstance(sample, Mapping) or not names or any(name not in sample for name in names):
        return sample
    return {name: value for name, value in sample.items() if name in names or name in _LABELS}


def _split_batch(batch, inputs: Inputs):
    """(names, arrays, labels or None) of a batch."""
    if isinstance(batch, Mapping):
        return _split_mapping(_relevant(batch, inputs))
    parts = list(batch) if isinstance(batch, (list, tuple)) else [batch]
    tensors = [as_tensor(part, f"element {i} of a batch") for i, part in enumerate(parts)]
    if inputs:
        count = len(inputs)
        if len(tensors) not in (count, count + 1):
            raise ValueError(
                f"a batch has {len(tensors)} tensors; the model takes {count} "
                f"({', '.join(name for name, *_ in inputs)}), and labels may follow"
            )
        names = [name for name, *_ in inputs]
    else:
        count = max(1, len(tensors) - 1)  # without a model, the last of several is the labels
        names = ["input"] if count == 1 else [f"input{i}" for i in range(count)]
    return names, tensors[:count], tensors[count] if len(tensors) > count else None


def _from_batches(batches: Iterable, inputs: Inputs):
    names, blocks = None, []
    for batch in batches:
        found, arrays, labels = _split_batch(batch, inputs)
        if names is None:
            names = found
        elif found != names:
            raise ValueError(f"a batch has {', '.join(found)}, the first one had {', '.join(names)}")
        blocks.append((arrays, labels))
    if names is None:
        raise ValueError("data has no batches")
    return _core.memory_dataset(names, blocks)


def _from_samples(data: torch.utils.data.Dataset, inputs: Inputs):
    """A map-style dataset: its samples are made when the core asks for them."""
    try:
        size = len(data)
    except TypeError:
        raise TypeError(f"{type(data).__name__} has no length; wrap it in a DataLoader") from None
    if size == 0:
        raise ValueError("data has no samples")

    def fetch(indices):
        samples = torch.utils.data.default_collate([_relevant(data[i], inputs) for i in indices])
        _, arrays, labels = _split_batch(samples, inputs)
        return arrays, labels

    first = torch.utils.data.default_collate([_relevant(data[0], inputs)])
    names, arrays, labels = _split_batch(first, inputs)
    fields = [(name, array.dtype, list(array.shape[1:])) for name, array in zip(names, arrays, strict=True)]
    return _core.callback_dataset(fetch, size, fields, labels is not None)


def read_parquet(paths: list[str]):
    """Parquet files as one Arrow table; what the native core calls when it meets some."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ImportError("reading Parquet files needs the package pyarrow: pip install pyarrow") from None
    return pyarrow.concat_tables([parquet.read_table(path, partitioning=None) for path in paths])
