"""Quantization-aware training of any torch.nn.Module in an ordinary loop."""

from __future__ import annotations

import copy
import json
from typing import Any

import torch

from model_compression import _core
from model_compression.capture import _CAPTURE_LOCK, capture
from model_compression.errors import Error
from model_compression.module import Module

_ABSORBED = "_less_bias"  # what prepare_qat names a running mean from which it took a convolution's bias


class QatModule(Module):
    """A module in quantization-aware training, or what it was converted to.

    One made of a plain module holds that module's own parameters from the start, and captures its graph at
    the first call (of any batch size, in train() or eval()); quantizers and their state are there from then
    on. A state that is loaded before is kept until then.
    """

    def __init__(self, options: dict[str, Any], source: torch.nn.Module | None = None):
        super().__init__()
        self._options = options
        self._converted = False
        self._layers: list[tuple[str, str, bool, str]] = []
        self._phase: dict[str, bool] | None = None
        self._loads: list[tuple[dict[str, torch.Tensor], bool]] = []
        self._absorbed: list[tuple[str, str]] = []  # (running mean, bias of the convolution before it)
        self.__dict__["_source"] = source  # not a submodule: its parameters stand here under their own names
        if source is not None:
            self._show_source()
            self.train(source.training)

    # The plain module before it is captured.

    def _show_source(self) -> None:
        for name, tensor in self._source.named_parameters(remove_duplicate=False):
            self._place(name, tensor)
        kept = set(self._source.state_dict(keep_vars=True))
        for name, buffer in self._source.named_buffers():
            if name in kept:
                self._place(name, buffer)

    def _ready(self, args: tuple, kwargs: dict[str, Any]) -> _core.GraphModule:
        if self._native is None:
            with _CAPTURE_LOCK:
                if self._native is None:
                    self._capture(args, kwargs)
        return self._native

    def _capture(self, args: tuple, kwargs: dict[str, Any]) -> None:
        captured = capture(self._source, args, kwargs, share=not self._converted)
        self._prepare(captured.native, captured.state)
        native = captured.native
        if self._converted:
            native = self._convert_unseen(native, captured.signature.inputs(args, kwargs))
        else:
            self._aliases = captured.aliases
        self._signature = captured.signature
        self._native = native
        self._grow()
        if self._phase is not None:
            self.set_phase(**self._phase)
        loads, self._loads = self._loads, []
        try:
            for state, strict in loads:
                self.load_state_dict(state, strict)
        except Exception:
            self._native, self._loads = None, loads
            self._show_source()
            raise
        if self._converted:
            self.__dict__["_source"] = None

    def _prepare(self, native: _core.GraphModule, state: dict[str, torch.Tensor]) -> None:
        """Inserts quantizers. What the graph has lost by that of `state` stays beside it."""
        made_by = {output: inputs for _, _, inputs, outputs in native.nodes() for output in outputs}
        norms = [inputs for _, operator, inputs, _ in native.nodes() if operator == "BatchNormalization"]
        self._layers = _core.prepare_qat(native, json.dumps(self._options))
        present = {path for path, _, _, _ in native.state()}
        self._extras = {name: tensor for name, tensor in state.items() if name not in present}
        self._absorbed = [
            (norm[3], made_by[norm[0]][2])
            for norm in norms
            if norm[3] in self._extras and norm[3] + _ABSORBED in present
        ]

    def _convert_unseen(self, native: _core.GraphModule, inputs: Any) -> _core.GraphModule:
        """Of a model that was not trained: ranges are those of this call, until a state is loaded."""
        _core.set_phase(native, observe=True, quantize=False, freeze_batch_norm=True)
        with torch.no_grad():
            native.forward(inputs, True)
        self._extras, self._absorbed = {}, []
        return _core.convert_module(native, json.dumps(self._options))

    def _settle_extras(self) -> None:
        super()._settle_extras()
        with torch.no_grad():
            for mean, bias in self._absorbed:
                self._extras[mean].copy_(self._find(mean + _ABSORBED) + self._extras[bias])

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """As torch.nn.Module's; before the first call it is kept until then, and checked then."""
        if self._native is not None:
            return super().load_state_dict(state_dict, strict, assign)
        if not self._converted and set(state_dict) == set(self.state_dict()):
            return torch.nn.Module.load_state_dict(self, state_dict, strict)
        self._loads.append((dict(state_dict), strict))
        return torch.nn.modules.module._IncompatibleKeys([], [])

    # Training.

    @property
    def layers(self) -> list[tuple[str, str, bool, str]]:
        """(node, operator, quantized, reason) of every layer; empty before the first call."""
        return list(self._layers)

    def set_phase(
        self, *, observe: bool = True, quantize: bool = True, freeze_batch_norm: bool = False
    ) -> None:
        """Whether ranges are observed, whether values are quantized, and whether batch norm's statistics stay."""
        self._phase = {"observe": observe, "quantize": quantize, "freeze_batch_norm": freeze_batch_norm}
        if self._native is not None:
            _core.set_phase(self._native, **self._phase)

    def settle_biases(self) -> int:
        """Moves biases onto the values that integer kernels add, by at most half a step; gives how many."""
        return _core.settle_biases(self.native, json.dumps(self._options))

    def _run(self, native: _core.GraphModule, inputs: Any) -> list[torch.Tensor]:
        if not self._converted:
            return super()._run(native, inputs)
        with torch.no_grad():  # the plan of inference: integer arithmetic as engines do it
            return super()._run(native, inputs)

    def train(self, mode: bool = True) -> QatModule:
        """As torch.nn.Module's; a converted module stays in eval()."""
        return super().train(mode and not self._converted)


class QuantizationSchedule:
    """The phases of quantization-aware training by step: observing only, then quantizing, then frozen."""

    def __init__(
        self,
        model: QatModule,
        total_steps: int,
        *,
        start: float = 0.0,
        freeze_observers: float = 0.98,
        freeze_batch_norm: float = 0.95,
    ):
        """Parts of total_steps, in [0, 1]. step() is to be called after each step of the optimizer."""
        if not isinstance(model, QatModule):
            raise TypeError(f"a schedule takes what qat_version_model gives, not a {type(model).__name__}")
        parts = {"start": start, "freeze_observers": freeze_observers, "freeze_batch_norm": freeze_batch_norm}
        for name, part in parts.items():
            if not 0 <= part <= 1:
                raise Error(f"{name} is a part of the steps, from 0 to 1, and not {part}")
        if total_steps < 1:
            raise Error(f"total_steps must be at least 1, is {total_steps}")
        self._model = model
        self._at = {name: round(part * total_steps) for name, part in parts.items()}
        self._steps = 0
        self._set()

    def step(self) -> None:
        """Counts a step of training."""
        self._steps += 1
        if self._steps in self._at.values():
            self._set()

    def _set(self) -> None:
        self._model.set_phase(
            observe=self._steps < self._at["freeze_observers"],
            quantize=self._steps >= self._at["start"],
            freeze_batch_norm=self._steps >= self._at["freeze_batch_norm"],
        )


def qat_version_model(model: torch.nn.Module, **options: Any) -> QatModule:
    """A version of the model that trains with simulated quantization, for an ordinary training loop.

    A plain torch.nn.Module needs no example input: its graph is captured at the first call, the parameters
    are the model's own from the start (what trains is the model itself). Of a model_compression.Module it is
    a copy. Options are those of a recipe's `quantize`: target ("onnxruntime", "openvino", "tensorrt"),
    weight_bits, activation_bits, observer, keep_float, weight_granularity, fold_batch_norm and others; start
    and freeze_* are for QuantizationSchedule. Raises Error for options that do not exist or do not fit.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"qat_version_model takes a torch.nn.Module, not a {type(model).__name__}")
    if isinstance(model, QatModule):
        raise Error("the model is in quantization-aware training already")
    try:
        text = json.dumps(options)
    except TypeError as error:
        raise TypeError(f"the options of quantization are numbers, texts and lists: {error}") from None
    _core.check_quantize_options(text)
    if not isinstance(model, Module):
        return QatModule(options, model)
    source = copy.deepcopy(model)
    qat_model = QatModule(options)
    state = {path: tensor for path, _, tensor, _ in source.native.state()}
    qat_model._prepare(source.native, {**state, **source._extras})
    qat_model._signature = source._signature
    qat_model._aliases = source._aliases
    qat_model._native = source.native
    qat_model._grow()
    return qat_model.train(model.training)


def convert_fx(model: QatModule) -> QatModule:
    """What a model in quantization-aware training becomes: integer weights, integer arithmetic, in eval().

    The result is a module of its own, whose state_dict() holds the integers, scales and zero points; save_onnx
    writes it for engines. One that has not been called yet converts when it is first called, so that a saved
    state can be loaded into it.
    """
    if not isinstance(model, QatModule):
        raise TypeError(f"convert_fx takes what qat_version_model gives, not a {type(model).__name__}")
    if model._converted:
        raise Error("the model has been converted already")
    converted = QatModule(model._options)
    converted._converted = True
    if model._native is None:
        converted.__dict__["_source"] = copy.deepcopy(model._source)
        converted._show_source()
    else:
        converted._signature = model._signature
        converted._native = _core.convert_module(model.native, json.dumps(model._options))
        converted._grow()
    converted._layers = list(model._layers)
    return converted.eval()


convert = convert_fx
