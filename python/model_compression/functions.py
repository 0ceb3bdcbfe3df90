"""The program's commands as functions of this process.

Every option of a command is a keyword argument here (`--keep-float` is `keep_float`, a list where it may be
repeated); docs/cli.md describes them, `options("quantize")` lists them. Models may be paths, ONNX bytes, an
onnx.ModelProto or a Module; data as model_compression.data describes it. What comes back is a Report. Commands
release the GIL while they work and take turns: a second one waits for the first.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from model_compression import _commands, _core
from model_compression.data import Inputs, open_source, read_parquet
from model_compression.model_files import ModelFiles
from model_compression.results import Report

_core.read_parquet_with(read_parquet)


def options(command: str) -> dict[str, str]:
    """The keyword arguments of a function of this module, each with what it means."""
    if command not in _commands.descriptions():
        raise ValueError(f"there is no command '{command}'; there are {', '.join(_commands.descriptions())}")
    return {name: option["help"] for name, option in _commands.options_of(command).items()}


def inspect(model, **options) -> Report:
    """Layers, cost, sparsity, and what stands in the way of compressing a model.

    inspect("model.onnx", shape={"image": [1, 3, 480, 640]})
    """
    return _with_files("inspect", [model], options)


def evaluate(model, data, **options) -> Report:
    """A model's accuracy on an engine: evaluate(model, data, engine="openvino", metric="top5")["value"]."""
    return _with_files("evaluate", [model], options, data=data)


def quantize(model, output: str | os.PathLike | None = None, *, data=None, **options) -> Report:
    """A smaller model: integers or short floats, without training.

    quantize("model.onnx", "int8.onnx", data={"x": samples, "labels": labels}, accuracy_drop=0.01). Without
    `output` the model stands in a file that lives as long as the report: see its `path` and `to_bytes()`.
    `passed` tells whether a goal (`accuracy_drop`, `min_snr`) was reached.
    """
    return _with_files("quantize", [model], options, data=data, output=output, writes=True)


def prune(model, output: str | os.PathLike | None = None, *, data=None, **options) -> Report:
    """Zeros in a trained model's weights, or channels cut out of it, without training.

    prune("model.onnx", "small.onnx", method="channels_l1", speedup=2.0). `output` as `quantize` has it.
    """
    return _with_files("prune", [model], options, data=data, output=output, writes=True)


def sensitivity(model, data, *, output: str | os.PathLike | None = None, **options) -> Report:
    """What quantizing each layer alone costs; `output` is an HTML page to write."""
    return _with_files("sensitivity", [model], options, data=data, output=output)


def benchmark(models, *, data=None, **options) -> Report:
    """Latency and throughput of a model, or of a list of them.

    benchmark(["fp32.onnx", "int8.onnx"], engine=["onnxruntime", "openvino"], batch=[1, 32]).to_pandas()
    """
    several = models if isinstance(models, (list, tuple)) else [models]
    if not several:
        raise ValueError("benchmark() needs a model")
    return _with_files("benchmark", several, options, data=data)


def compare(reference, other, data, **options) -> Report:
    """How far a model's outputs are from another's, or one model's on two engines.

    compare("fp32.onnx", "int8.onnx", data, min_snr=20).passed
    """
    return _with_files("compare", [reference, other], options, data=data)


def run(recipe, *, data=None, output: str | os.PathLike | None = None, **options) -> Report:
    """Runs a recipe: a path, YAML text of several lines, or a dictionary.

    `data` takes the place of what the recipe's data section names; its other keys (augment, normalize, limit)
    stay. `set` changes single values: run("recipe.yaml", set={"stages.prune.epochs": 3}). The report is
    results.json (docs/results.md), `path` the folder of the run.
    """
    files = ModelFiles()
    given = dict(options)
    source = None
    if data is not None:
        source = open_source(data)
        changes = dict(_as_settings(given.pop("set", None)))
        given["set"] = changes | _data_settings(source.name)
    if output is not None:
        given["output"] = _commands.file_name("output", output)
    path = _recipe_file(recipe, files)
    report = _commands.call("run", [path], given, keep=(files, source))
    _, shown, page = repr(report).rpartition("report: ")  # the last line
    if shown:
        report.path = Path(page.strip()).parent
    return report


def report(folder: str | os.PathLike) -> Report:
    """The results of a finished run; its page is written again."""
    return _commands.call("report", [_commands.file_name("folder", folder)], {}, path=folder)


def _is_path(model) -> bool:
    return isinstance(model, (str, os.PathLike))


def _with_files(
    command: str, models, options: dict, *, data=None, output=None, writes: bool = False
) -> Report:
    """Calls a command whose first arguments are models."""
    files = ModelFiles()
    paths = [files.path(model) for model in models]
    given = dict(options)
    source = None
    if data is not None:
        source = open_source(data, _inputs_of(paths[0], data))
        given["data"] = source.name
    if writes:
        output = _commands.file_name("output", output) if output is not None else files.new("output.onnx")
    if output is not None:
        given["output"] = _commands.file_name("output", output)
    return _commands.call(command, paths, given, path=output, keep=files)


def _inputs_of(model: str, data) -> Inputs:
    return () if _is_path(data) else _core.model_inputs(model)


def _recipe_file(recipe, files: ModelFiles) -> str:
    if isinstance(recipe, Mapping):
        try:
            text = json.dumps(dict(recipe), indent=2, default=_plain)  # JSON is YAML
        except ValueError as error:
            raise ValueError(f"the recipe: {error}") from None
    elif isinstance(recipe, str) and "\n" in recipe:
        text = recipe
    else:
        return _commands.file_name("recipe", recipe)
    path = files.new("recipe.yaml")
    Path(path).write_text(text)
    return path


def _plain(value):
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item"):  # NumPy's numbers
        return value.item()
    raise TypeError(f"the recipe has a {type(value).__name__}, which YAML does not know: {value!r:.100}")


def _as_settings(settings) -> Mapping:
    if settings is None:
        return {}
    if isinstance(settings, Mapping):
        return settings
    pairs = [settings] if isinstance(settings, str) else list(settings)
    return dict(pair.split("=", 1) for pair in pairs)


def _data_settings(source: str) -> dict:
    """The recipe's keys that say where the samples are."""
    if source.startswith("memory:"):
        return {"data.format": "memory", "data.root": source, "data.train": [], "data.test": []}
    raise TypeError("data of a recipe is in memory; paths stand in the recipe's data section")
