"""Inference engines on arrays: nothing is copied on the way in or out where the engine allows it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from model_compression import _core
from model_compression.arrays import as_tensor
from model_compression.model_files import ModelFiles


@dataclass(frozen=True)
class Port:
    """An input or output of a model. `shape` has a name, or "", where a size is open; None: rank unknown."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


def available_engines() -> dict[str, str]:
    """Every engine with the reason why it is not available here; empty where it is."""
    return dict(_core.engines())


class Engine:
    """A model loaded by an engine: `onnxruntime`, `openvino` or `torch` (our own kernels).

    Engine("int8.onnx")(x) takes one array for each input, in order or by name: NumPy arrays, torch tensors,
    anything with __dlpack__. Contiguous ones on the CPU are read where they are. The result is a tensor, or a
    tuple where the model has several outputs, on the engine's own memory; OpenVINO copies outputs of a shape
    that the model leaves open. `outputs="numpy"` gives arrays on the same memory.

    Models are paths, ONNX bytes, an onnx.ModelProto or a Module. Calls from several threads take turns, without
    the GIL. precision: f32, or bf16, f16 where the engine can; threads: 0 for all cores; device: of the engine
    torch, which takes and gives CPU tensors wherever it computes.
    """

    def __init__(
        self,
        model,
        engine: str = "onnxruntime",
        *,
        threads: int = 0,
        precision: str = "f32",
        device: str = "cpu",
        outputs: str = "torch",
    ):
        if outputs not in ("torch", "numpy"):
            raise ValueError(f"outputs are torch or numpy, not {outputs!r}")
        self._files = ModelFiles()
        self._as_numpy = outputs == "numpy"
        self._session = _core.open_session(self._files.path(model), engine, threads, precision, device)
        self.engine = engine
        self.inputs = _ports(self._session.inputs)
        self.outputs = _ports(self._session.outputs)

    @property
    def precision(self) -> str:
        """What the engine really computes in."""
        return self._open().precision

    def close(self) -> None:
        """Frees the model, once running calls are done and their outputs gone. Later calls are errors."""
        self._session = None

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _open(self):
        session = self._session  # another thread may close meanwhile
        if session is None:
            raise ValueError("this engine is closed")
        return session

    def __call__(self, *arrays, **named):
        outputs = self.run(*arrays, **named)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def run(self, *arrays, **named) -> list:
        """All outputs as a list. One mapping {input: array} serves too, for names that are no identifiers."""
        if len(arrays) == 1 and not named and isinstance(arrays[0], Mapping):
            arrays, named = (), dict(arrays[0])
        tensors = self._in_order(arrays, named)
        results = self._open().run(tensors)
        if not self._as_numpy:
            return results
        return [_to_numpy(result, port.name) for result, port in zip(results, self.outputs, strict=True)]

    def _in_order(self, arrays, named) -> list[torch.Tensor]:
        names = [port.name for port in self.inputs]
        if len(arrays) > len(names):
            raise TypeError(
                f"the model takes {len(names)} inputs ({', '.join(names)}), {len(arrays)} were given"
            )
        given = dict(zip(names, arrays, strict=False))
        for name, value in named.items():
            if name not in names:
                raise TypeError(f"the model has no input '{name}'; its inputs are {', '.join(names)}")
            if name in given:
                raise TypeError(f"input '{name}' was given twice")
            given[name] = value
        missing = [name for name in names if name not in given]
        if missing:
            raise TypeError(f"input '{missing[0]}' is not given; the inputs are {', '.join(names)}")
        return [as_tensor(given[name], f"input '{name}'") for name in names]

    def __repr__(self) -> str:
        def listed(ports):
            return ", ".join(f"{port.dtype}{list(port.shape or [])} {port.name}" for port in ports)

        return f"Engine({self.engine}: {listed(self.inputs)} -> {listed(self.outputs)})"


def _ports(described) -> tuple[Port, ...]:
    return tuple(
        Port(name, dtype, None if shape is None else tuple(shape)) for name, dtype, shape in described
    )


def _to_numpy(tensor: torch.Tensor, name: str):
    try:
        return tensor.numpy()
    except TypeError:
        raise TypeError(f"output '{name}' is {tensor.dtype}, which NumPy lacks; take torch outputs") from None
