"""Makes trained networks small and fast: pruning, quantization and distillation on a native core.

The public names are loaded when they are first used, so that importing the package is cheap.
"""

import importlib

import torch

from model_compression._research_names import MODULE_OF, SUBMODULES
from model_compression.errors import Error

__version__ = "0.1.0"

# Public name -> the module of this package that has it. One line a name.
_MODULE_OF: dict[str, str] = {
    "Module": "module",
    "load_onnx": "module",
    "save_onnx": "module",
    "from_torch": "capture",
    "QatModule": "qat",
    "QuantizationSchedule": "qat",
    "qat_version_model": "qat",
    "convert_fx": "qat",
    "convert": "qat",
    **MODULE_OF,
    "benchmark": "functions",
    "compare": "functions",
    "evaluate": "functions",
    "inspect": "functions",
    "options": "functions",
    "prune": "functions",
    "quantize": "functions",
    "report": "functions",
    "run": "functions",
    "sensitivity": "functions",
    "Engine": "engine",
    "available_engines": "engine",
    "show_progress": "progress",
    "Report": "results",
    "tokenize": "texts",
}

__all__ = ["Error", *_MODULE_OF]  # noqa: PLE0604


def _load_core():
    """The extension module, or an ImportError that says which torch it needs."""
    try:
        from model_compression._built_for import TORCH_VERSION
    except ImportError as error:
        raise ImportError(
            "the native part of model_compression is not built: run `pip install .` in its source tree "
            "(or build the target _core there)"
        ) from error
    built, found = TORCH_VERSION.split("+")[0], torch.__version__.split("+")[0]
    advice = (
        f"model_compression was built for torch {TORCH_VERSION}, but torch {torch.__version__} is installed"
    )
    advice += f": install torch=={built}, or build the package again (`pip install --force-reinstall .`)"
    if built != found:
        raise ImportError(advice)
    try:
        return importlib.import_module("model_compression._core")
    except ImportError as error:
        if TORCH_VERSION != torch.__version__:
            raise ImportError(advice) from error
        raise


_core = _load_core()


def __getattr__(name: str):
    if name in SUBMODULES:
        return importlib.import_module(f"model_compression.{name}")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'model_compression' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"model_compression.{module}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_MODULE_OF})
