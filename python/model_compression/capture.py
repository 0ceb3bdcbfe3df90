"""From a torch.nn.Module to a native graph, through torch.onnx.export of the module in training mode."""

from __future__ import annotations

import dataclasses
import inspect
import tempfile
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from model_compression import _core
from model_compression.capture_mode import difference, plain_dropout, share_statistics, unnoticed
from model_compression.errors import Error
from model_compression.module import Module
from model_compression.obstacle import obstacle
from model_compression.signature import Signature, is_tensor, without_none

_LARGEST_PROTO = 1 << 30  # bytes of weights from which on the export goes through files
_SAME = 0.02  # how far outputs of half precision may be from each other, as a part of the largest
_CAPTURE_LOCK = threading.RLock()  # torch.export keeps global state


@dataclasses.dataclass
class Capture:
    """A module as a native graph, and how it is called."""

    native: _core.GraphModule
    signature: Signature
    state: dict[str, torch.Tensor]  # the module's own tensors, those too that its graph does not read
    aliases: dict[str, str]  # a tied tensor's other names


def from_torch(
    model: torch.nn.Module,
    example_inputs: Any,
    example_kwargs: dict[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
) -> Module:
    """The Module that computes what `model` computes, with copies of its weights under its own names.

    example_inputs: a tensor, the tuple of positional arguments of a call, or a mapping of its keyword
    arguments, such as a batch of transformers; example_kwargs: keyword arguments beside a tuple. The first
    dimension of tensors is the batch, and may differ in later calls unless the model fixes it; dynamic_shapes
    (as torch.export takes them) says otherwise. Batch norm and dropout follow train() and eval() as in PyTorch,
    whatever mode the model is in. Module.write_back(model) takes the trained weights back. Raises Error when the model cannot be captured: which operation, and where.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"from_torch takes a torch.nn.Module, not a {type(model).__name__}")
    if isinstance(model, Module):
        raise TypeError("the model is a model_compression.Module already")
    if isinstance(example_inputs, Mapping) and example_kwargs is None:
        args, kwargs = (), dict(example_inputs)
    else:
        args = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
        kwargs = example_kwargs or {}
    captured = capture(model, args, kwargs, dynamic_shapes=dynamic_shapes)
    module = Module(captured.native, captured.signature)
    present = {path for path, _, _, _ in captured.native.state()}
    module._extras = {
        name: torch.nn.Parameter(tensor.detach().clone(), tensor.requires_grad)
        if isinstance(tensor, torch.nn.Parameter)
        else tensor.clone()
        for name, tensor in captured.state.items()
        if name not in present
    }
    module._aliases = captured.aliases
    module._grow()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for name, parameter in module.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    return module.train(model.training)


def capture(
    model: torch.nn.Module,
    args: tuple,
    kwargs: dict[str, Any],
    *,
    dynamic_shapes: Any = None,
    share: bool = False,
) -> Capture:
    """Exports the model and makes the native graph; with `share` it holds the model's own tensors."""
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if is_tensor(leaf)]
    if not tensors:
        raise Error("example inputs with at least one tensor are needed to capture a model")
    device = tensors[0].device
    for name, parameter in model.named_parameters():
        if parameter.device != device:
            raise Error(
                f"the example inputs are on {device} and the parameter '{name}' on {parameter.device}"
            )
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise Error(f"the parameter '{name}' has no shape yet: call the model once before it is captured")
    kwargs = without_none(kwargs)
    with _CAPTURE_LOCK, unnoticed(model, training=True), plain_dropout(model):
        program = _export(model, args, kwargs, dynamic_shapes)
    share_statistics(program.model.graph)
    aliases = _aliases(model)
    _name_tied(program.model.graph, aliases)
    names = set(program.model.graph.initializers)
    roles = [each for each in _roles(model) if each[0] in names]
    state = _state(model)
    given = {name: tensor for name, tensor in state.items() if name in names} if share else {}
    native = _native(program, device, roles, given)
    signature = _signature(model, program.exported_program, args, kwargs, native)
    _warn_of_eval(model, native, signature, args, kwargs)
    return Capture(native, signature, state, aliases)


def _name_tied(graph, aliases: dict[str, str]) -> None:
    """The exporter keeps one of a tied tensor's names, or all; the first is to be the one."""
    for alias, first in aliases.items():
        tied = graph.initializers.get(alias)
        if tied is None:
            continue
        if first not in graph.initializers:
            tied.name = first
            continue
        tied.replace_all_uses_with(graph.initializers[first])
        del graph.initializers[alias]


def _warn_of_eval(model: torch.nn.Module, native, signature: Signature, args: tuple, kwargs: dict) -> None:
    """What depends on the mode, apart from batch norm and dropout, is captured as it is in training."""
    with unnoticed(model, training=False):
        try:
            theirs = model(*args, **kwargs)
        except Exception:  # noqa: BLE001  it is captured in training; only eval() cannot be compared
            return
        own = native.forward(signature.inputs(args, kwargs), False)
    theirs = [leaf for leaf in pytree.tree_leaves(theirs) if is_tensor(leaf)]
    if difference(own, theirs) > _SAME:
        warnings.warn(
            f"{type(model).__name__} computes something else in eval() than its graph does: batch norm and dropout follow "
            "the mode, and what else depends on `training` (a branch, random numbers, the running statistics "
            "of instance norm) stays as it is in training",
            stacklevel=4,
        )


def _export(model: torch.nn.Module, args: tuple, kwargs: dict[str, Any], dynamic_shapes: Any):
    """The ONNXProgram. Raises Error that says which operation stands in the way, and where."""
    if dynamic_shapes is None:
        args, kwargs = pytree.tree_map(_two_samples((args, kwargs)), (args, kwargs))
        dynamic_shapes = _batch_shapes(model, args, kwargs)
    try:
        program = torch.onnx.export(
            model,
            args,
            kwargs=kwargs,
            dynamo=True,
            optimize=False,
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )
    except Exception as error:
        raise Error(obstacle(model, error)) from error
    _drop_zero_biases(program.model)
    return program


def _drop_zero_biases(model) -> None:
    """The exporter gives convolutions without a bias one of zeros, computed anew in every run."""
    for node in model.graph:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.inputs) == 3:
            expand = node.inputs[2].producer() if node.inputs[2] is not None else None
            if expand is not None and expand.op_type == "Expand" and _is_zero(expand.inputs[0]):
                node.resize_inputs(2)


def _is_zero(value) -> bool:
    maker = value.producer()
    if maker is not None and maker.op_type == "CastLike":
        maker = maker.inputs[0].producer()
    if maker is None or maker.op_type != "Constant":
        return False
    constant = maker.attributes.get("value_float") or maker.attributes.get("value")
    if constant is None:
        return False
    return not (constant.value if constant.name == "value_float" else constant.value.numpy().any())


def _two_samples(inputs: Any):
    """A batch of one would be taken for a fixed dimension."""
    sizes = {leaf.shape[0] for leaf in pytree.tree_leaves(inputs) if is_tensor(leaf) and leaf.dim() > 0}
    if sizes != {1}:
        return lambda leaf: leaf
    return lambda leaf: torch.cat([leaf, leaf]) if is_tensor(leaf) and leaf.dim() > 0 else leaf


def _batch_shapes(model: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The first dimension of every tensor may vary, where the model leaves it free."""

    def dims(leaf: Any) -> Any:
        return {0: torch.export.Dim.AUTO} if is_tensor(leaf) and leaf.dim() > 0 else None

    try:
        bound = inspect.signature(model.forward).bind(*args, **kwargs)
    except TypeError as error:
        raise Error(f"the example inputs do not fit {type(model).__name__}.forward: {error}") from None
    shapes = {}
    for name, value in bound.arguments.items():
        shapes[name] = pytree.tree_map(dims, value)
    return shapes


def _native(program, device: torch.device, roles: list, given: dict[str, torch.Tensor]) -> _core.GraphModule:
    size = sum(
        each.const_value.nbytes for each in program.model.graph.initializers.values() if each.const_value
    )
    if size < _LARGEST_PROTO:
        return _core.parse_module(program.model_proto.SerializeToString(), device, roles, given)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        program.save(path, external_data=True)
        return _core.read_module(path, device, roles, given)


def _state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and persistent buffers by name, tied ones once."""
    kept = set(model.state_dict(keep_vars=True))
    state = dict(model.named_parameters())
    state.update((name, buffer) for name, buffer in model.named_buffers() if name in kept)
    return state


def _aliases(model: torch.nn.Module) -> dict[str, str]:
    first: dict[int, str] = {}
    aliases = {}
    kept = model.state_dict(keep_vars=True)
    for name, tensor in (
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ):
        known = first.setdefault(id(tensor), name) if name in kept else name
        if known != name:
            aliases[name] = known
    return aliases


def _roles(model: torch.nn.Module) -> list[tuple[str, str]]:
    """What the module itself says: parameters train, and buffers do not; batch norm's have rules of their own."""
    roles = [
        (name, "weight") for name, parameter in model.named_parameters() if parameter.is_floating_point()
    ]
    kept = set(model.state_dict(keep_vars=True))
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.modules.batchnorm._NormBase):
            continue
        for name, buffer in module.named_buffers(recurse=False):
            full = f"{path}.{name}" if path else name
            if full in kept and buffer.is_floating_point():
                roles.append((full, "state"))
    return roles


def _signature(
    model: torch.nn.Module, exported, args: tuple, kwargs: dict[str, Any], native: _core.GraphModule
) -> Signature:
    leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if is_tensor(leaf)]
    if len(leaves) != len(native.input_names()):
        raise Error(
            f"the model was called with {len(leaves)} tensors and its graph has the inputs {native.input_names()}; "
            "tensors that are given twice cannot be captured"
        )
    outputs = []
    for each in exported.graph_signature.user_outputs:
        outputs.append(None if isinstance(each, str) else (each,))
    if sum(each is None for each in outputs) != len(native.output_names()):
        raise Error(
            f"the model returns {sum(each is None for each in outputs)} tensors and its graph has the outputs "
            f"{native.output_names()}"
        )
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(model.forward).parameters.values()
    names = [each.name for each in parameters if each.kind in by_position]
    return Signature(args, kwargs, names, exported.call_spec.out_spec, outputs)
