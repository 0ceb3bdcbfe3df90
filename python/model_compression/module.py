"""A native graph as an ordinary torch.nn.Module."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from model_compression import _core
from model_compression.errors import Error

Hook = Callable[["Module", str, torch.Tensor], None]


class _Part(torch.nn.Module):
    """A level of the tree that gives the parameters of a Module their dotted names."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._parameters or name in self._buffers:
            raise _not_assigned(name)
        super().__setattr__(name, value)

    def forward(self, *_args, **_kwargs):
        raise Error("this is a part of a model_compression.Module; only the whole module can be called")


def _not_assigned(name: str) -> Error:
    return Error(
        f"'{name}' is a tensor of the native graph: write its values (tensor.copy_(...) under torch.no_grad()) "
        "instead of assigning another tensor; load_state_dict works without assign=True"
    )


class Module(torch.nn.Module):
    """A torch.nn.Module over a native graph.

    Parameters and buffers are the native graph's own tensors under their own names, so that optimizers,
    state_dict(), autocast and DistributedDataParallel work as with any module and nothing is copied. The
    GIL is released while the graph runs; forward may run in several threads. Made by load_onnx() and
    from_torch(); it is pickled and deep-copied through the bytes of its ONNX file.
    """

    # A Trainer of transformers would pass num_items_in_batch, which no graph takes.
    accepts_loss_kwargs = False

    def __init__(self, native: _core.GraphModule | None = None, signature=None):
        super().__init__()
        self._native = native
        self._signature = signature
        self._extras: dict[str, torch.Tensor] = {}  # tensors of the source that its graph does not read
        self._aliases: dict[str, str] = {}  # a tied parameter's other names
        self._grown: list[tuple[dict, str]] = []  # what _grow() put into the registries of this module
        self._value_hooks: OrderedDict[int, tuple[str, Hook]] = OrderedDict()
        self._runs = [0]  # training runs since _settle_extras()
        if native is not None:
            self._grow()

    # Calling.

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the graph: inputs in the order of input_names, or by name, or as the captured module takes them.

        Raises Error for inputs that do not fit, naming the input or the node.
        """
        native = self._ready(args, kwargs)
        signature = self._signature
        if signature is not None:
            inputs = signature.inputs(args, kwargs)
        else:
            inputs = self._by_name(args, kwargs) if kwargs else args
        if self.training:
            self._runs[0] += 1
        try:
            outputs = self._run(native, inputs)
        except TypeError:
            raise self._wrong_types(inputs) from None
        if signature is not None:
            return signature.result(outputs)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _ready(self, args: tuple, kwargs: dict[str, Any]) -> _core.GraphModule:
        return self._native

    def _run(self, native: _core.GraphModule, inputs: Any) -> list[torch.Tensor]:
        if not self._value_hooks:
            return native.forward(inputs, self.training)
        hooks = list(self._value_hooks.values())
        names = list(dict.fromkeys(name for name, _ in hooks))
        outputs, values = native.forward_tapped(inputs, names, self.training)
        by_name = dict(zip(names, values, strict=True))
        for name, hook in hooks:
            hook(self, name, by_name[name])
        return outputs

    def _by_name(self, args: tuple, kwargs: dict[str, Any]) -> list:
        names = self.input_names[len(args) :]
        if sorted(names) != sorted(kwargs):
            raise Error(
                f"the model's inputs are {self.input_names}; got {len(args)} of them and {list(kwargs)}"
            )
        return [*args, *(kwargs[name] for name in names)]

    def _wrong_types(self, inputs: Any) -> TypeError:
        found = ", ".join(type(each).__name__ for each in inputs)
        return TypeError(f"the model takes tensors for {', '.join(self.input_names)}; got {found}")

    # What it is.

    @property
    def native(self) -> _core.GraphModule:
        """The native module. Raises Error while there is none: a plain module is captured at its first call."""
        if self._native is None:
            raise Error("the model has not been captured yet: call it once with a batch of inputs")
        return self._native

    @property
    def input_names(self) -> list[str]:
        """Names of the graph's inputs, in order."""
        return self.native.input_names()

    @property
    def output_names(self) -> list[str]:
        """Names of the graph's outputs, in order."""
        return self.native.output_names()

    @property
    def device(self) -> torch.device:
        """Where the graph runs."""
        return self.native.device()

    def value_names(self) -> list[str]:
        """Names that register_value_hook() and tap() take: every value that a node of the graph makes."""
        return [name for _, _, _, outputs in self.native.nodes() for name in outputs if name]

    def train(self, mode: bool = True) -> Module:
        """As torch.nn.Module's."""
        self._settle_extras()
        return super().train(mode)

    def __repr__(self) -> str:
        if self._native is None:
            return f"{type(self).__name__}(captured at the first call)"
        count = sum(parameter.numel() for parameter in self.parameters())
        inputs = ", ".join(f"{name}: {text}" for name, text in self.native.input_types())
        return (
            f"{type(self).__name__}({inputs} -> {', '.join(self.output_names)}; "
            f"{len(self.native.nodes())} nodes, {count} parameters)"
        )

    # Values inside.

    def register_value_hook(self, name: str, hook: Hook) -> RemovableHandle:
        """Calls hook(module, name, value) after every run with the value of this name, with its gradient's graph.

        The name is a value's or a node's. Raises Error for one that does not exist.
        """
        if not callable(hook):
            raise TypeError(f"the hook must be callable, is a {type(hook).__name__}")
        if not self.native.has_value(name):
            raise Error(f"the model has no value '{name}'; value_names() lists those that it has")
        handle = RemovableHandle(self._value_hooks)
        self._value_hooks[handle.id] = (name, hook)
        return handle

    @contextlib.contextmanager
    def tap(self, *names: str) -> Iterator[dict[str, torch.Tensor]]:
        """Within the `with`, the dictionary it gives holds these values of the latest run."""
        values: dict[str, torch.Tensor] = {}

        def keep(_module: Module, name: str, value: torch.Tensor) -> None:
            values[name] = value

        handles: list[RemovableHandle] = []
        try:
            for name in names:
                handles.append(self.register_value_hook(name, keep))
            yield values
        finally:
            for handle in handles:
                handle.remove()

    # Masks.

    def set_mask(self, parameter: str, mask: torch.Tensor | None) -> None:
        """Prunes a parameter: false (or 0) drops. None takes the mask away. Masks reach files and later stages."""
        if mask is not None:
            mask = mask.to(torch.bool)
        self.native.set_mask(self._initializer(parameter), mask)
        self._grow()

    def apply_masks(self) -> None:
        """Zeroes what the masks drop; to be called after each step of the optimizer."""
        self.native.apply_masks()

    def _initializer(self, path: str) -> str:
        for known, initializer, _, _ in self.native.state():
            if known == path:
                return initializer
        return path  # for the native error with the nearest name

    # Weights back and forth.

    def write_back(self, model: torch.nn.Module) -> None:
        """Copies the trained parameters and buffers into the module that this one was captured from.

        Raises Error when the model has not the same names and shapes.
        """
        own = self.state_dict(keep_vars=True)
        theirs = model.state_dict(keep_vars=True)
        common = [name for name in theirs if name in own]
        if not any(isinstance(own[name], torch.nn.Parameter) for name in common) and common != list(own):
            raise Error(
                "no parameter of the model has the name of one of this module; was it captured from it?"
            )
        for name in common:
            if own[name].shape != theirs[name].shape:
                raise Error(
                    f"'{name}' is {list(own[name].shape)} here and {list(theirs[name].shape)} in the model"
                )
        with torch.no_grad():
            for name in common:
                theirs[name].copy_(own[name])

    # The tree of names.

    def _grow(self) -> None:
        """Puts the native graph's tensors (anew) into the registries, under their names."""
        for registry, name in self._grown:
            registry.pop(name, None)
        self._grown.clear()
        for path, _, tensor, role in self._native.state():
            if role == "weight" and not isinstance(tensor, torch.nn.Parameter):
                tensor.__class__ = torch.nn.Parameter
            self._place(path, tensor)
        for path, tensor in self._extras.items():
            self._place(path, tensor)
        for alias, path in self._aliases.items():
            found = self._find(path)
            if found is not None:
                self._place(alias, found)

    def _place(self, path: str, tensor: torch.Tensor) -> None:
        *parents, leaf = path.split(".")
        module: torch.nn.Module = self
        for part in parents:
            if part not in module._modules:
                if module is self:
                    self._grown.append((self._modules, part))
                module._modules[part] = _Part().train(self.training)
            module = module._modules[part]
        registry = module._parameters if isinstance(tensor, torch.nn.Parameter) else module._buffers
        registry[leaf] = tensor
        if module is self:
            self._grown.append((registry, leaf))

    def _find(self, path: str) -> torch.Tensor | None:
        *parents, leaf = path.split(".")
        module: torch.nn.Module | None = self
        for part in parents:
            module = module._modules.get(part) if module is not None else None
        if module is None:
            return None
        found = module._parameters.get(leaf)
        return found if found is not None else module._buffers.get(leaf)

    def __setattr__(self, name: str, value: Any) -> None:
        grown = self.__dict__.get("_grown")
        if grown and any(leaf == name for _, leaf in grown):
            raise _not_assigned(name)
        super().__setattr__(name, value)

    # What torch.nn.Module does to its tensors.

    def _apply(self, fn, recurse: bool = True):
        if self._native is None:
            return super()._apply(fn, recurse)
        state = self._native.state()
        for dtype in {tensor.dtype for _, _, tensor, _ in state if tensor.is_floating_point()}:
            if fn(torch.zeros(1, dtype=dtype, device=self.device)).dtype != dtype:
                raise Error(
                    "the element types of a graph are fixed: half(), double() and to(dtype) do not work on it; "
                    "train in lower precision with torch.autocast"
                )
        device = fn(torch.zeros(1, device=self.device)).device
        if device.type == "meta":
            raise Error("a native graph cannot be on the device meta")
        if device != self.device:
            self._native.to_device(device)
        # Flags of quantizers are read on the host in every run.
        flags = {
            id(tensor) for _, _, tensor, role in state if role == "state" and tensor.dtype == torch.int64
        }
        super()._apply(lambda tensor: tensor if id(tensor) in flags else fn(tensor), recurse)
        for path, _, tensor, _ in state:
            found = self._find(path)
            if found is not tensor:  # buffers are replaced by new tensors, which the graph would not see
                tensor.data = found.data
                self._place(path, tensor)
        for path in self._extras:
            self._extras[path] = self._find(path)
        return self

    def _settle_extras(self) -> None:
        """Brings what modules have and graphs have not, such as batch norm's counters, up to date."""
        runs, self._runs[0] = self._runs[0], 0
        if not runs:
            return
        for path, tensor in self._extras.items():
            norm, _, name = path.rpartition(".")
            if name == "num_batches_tracked":
                variance = f"{norm}.running_var" if norm else "running_var"
                calls = sum(variance == read[4] for _, _, read, _ in self._native.nodes() if len(read) > 4)
                tensor.add_(runs * max(calls, 1))

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        self._settle_extras()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        self._runs[0] = 0
        super()._load_from_state_dict(state_dict, prefix, *args)

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """As torch.nn.Module's. Masks ("<parameter>.mask") are set where the module has none yet."""
        if assign:
            raise Error("assign=True would put other tensors in the place of the graph's; load without it")
        if self._native is not None:
            own = {path: initializer for path, initializer, _, _ in self._native.state()}
            fresh = [name for name in state_dict if name.endswith(".mask") and name not in own]
            for name in fresh:
                if name[: -len(".mask")] in own:
                    self.set_mask(name[: -len(".mask")], state_dict[name])
        return super().load_state_dict(state_dict, strict=strict)

    # Copies and pickles, through the bytes of the ONNX file.

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._native is None:
            return state
        self._settle_extras()
        frozen = [
            path
            for path, _, tensor, role in self._native.state()
            if role == "weight" and not tensor.requires_grad
        ]
        state["_native"] = (self._native.to_bytes(), self._native.roles(), str(self.device), frozen)
        for registry in ("_parameters", "_buffers", "_modules"):
            state[registry] = dict(state[registry])
        for registry, name in self._grown:
            for kept in ("_parameters", "_buffers", "_modules"):
                if registry is self.__dict__[kept]:
                    state[kept].pop(name, None)
        state["_grown"] = []
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        packed = state["_native"]
        super().__setstate__({**state, "_native": None})
        if packed is None:
            return
        onnx, roles, device, frozen = packed
        if device.startswith("cuda") and not torch.cuda.is_available():
            device = "cpu"
        self._native = _core.parse_module(onnx, torch.device(device), roles)
        self._grow()
        for path in frozen:
            self._find(path).requires_grad_(False)


def load_onnx(model: str | os.PathLike | bytes, device: str | torch.device = "cpu") -> Module:
    """The Module of an ONNX file (a path) or of its bytes. External data is found beside a file only.

    Raises Error for files that are broken, and for operators that are not supported (all of them at once).
    """
    place = torch.device(device)
    if isinstance(model, bytes | bytearray | memoryview):
        return Module(_core.parse_module(bytes(model), place))
    if isinstance(model, str | os.PathLike):
        return Module(_core.read_module(os.fspath(model), place))
    raise TypeError(f"load_onnx takes a path or bytes, not a {type(model).__name__}")


def save_onnx(module: Module, path: str | os.PathLike, external_data: bool = False) -> None:
    """Writes the model with its values now as ONNX; with external_data its weights beside it, in PATH.data."""
    if not isinstance(module, Module):
        raise TypeError(
            f"save_onnx takes a model_compression.Module, not a {type(module).__name__}; see from_torch"
        )
    module.native.save(os.fspath(path), external_data)
