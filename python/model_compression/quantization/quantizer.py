"""Layers of a model exchanged for ones that train quantized."""

import logging
from typing import ClassVar

from torch import nn

from ..utils import Config, did_you_mean
from . import qat

logger = logging.getLogger(__name__)


class QuantizerConfig(Config):
    """Which layers are quantized, and when.

    quantization_begin: steps of training before quantization begins.
    not_to_quantize: parts of names of layers that stay as they are.
    not_to_requantize_output: parts of names of layers whose outputs get no grid of their own.
    """

    ATTRIBUTES: ClassVar = {"quantization_begin": 0, "not_to_quantize": [], "not_to_requantize_output": []}


def get_unique_devices(module):
    """The devices of a module's parameters and buffers."""
    return {tensor.device for tensors in (module.parameters(), module.buffers()) for tensor in tensors}


class Quantizer:
    """Exchanges the linear layers of a model for QuantizedLinear, in place, with their parameters."""

    def __init__(self, model, config):
        if not isinstance(model, nn.Module):
            raise TypeError(f"a torch.nn.Module is quantized, not {type(model).__name__}")
        if type(config) is not QuantizerConfig:
            raise TypeError(f"Quantizer takes a QuantizerConfig, not {type(config).__name__}")
        for name in ("not_to_quantize", "not_to_requantize_output"):
            if isinstance(getattr(config, name), str):
                raise TypeError(
                    f"{name} is a list of parts of names, not the string '{getattr(config, name)}'"
                )
        self.model = model
        self.config = config

    def quantize(self):
        """Gives the model (a new one where it is itself a linear layer). On an error nothing has changed."""
        layers = [
            n for n, m in self.model.named_modules(remove_duplicate=False) if type(m) in qat.QUANT_MAPPING
        ]
        self._warn_of_unused_names(layers)
        made, places = {}, []
        for name in layers:
            if any(part in name for part in self.config.not_to_quantize):
                continue
            module = self.model.get_submodule(name)
            if id(module) not in made:
                made[id(module)] = self._quantized(name, module)
            places.append((name, made[id(module)]))
        for name, new in places:
            if not name:
                self.model = new
            else:
                parent, _, child = name.rpartition(".")
                setattr(self.model.get_submodule(parent), child, new)
        return self.model

    def _quantized(self, name, module):
        devices = get_unique_devices(module)
        if len(devices) > 1:
            raise ValueError(f"layer '{name}' lies on several devices: {sorted(map(str, devices))}")
        kwargs = {"start_step": self.config.quantization_begin}
        if any(part in name for part in self.config.not_to_requantize_output):
            kwargs["output_fake_quant"] = None
        try:
            new = qat.QUANT_MAPPING[type(module)].from_float(module, **kwargs)
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer '{name}': {error}") from error
        return new.to(next(iter(devices))) if devices else new

    def _warn_of_unused_names(self, layers):
        for key in ("not_to_quantize", "not_to_requantize_output"):
            for part in getattr(self.config, key):
                if not any(part in name for name in layers):
                    logger.warning(
                        "%s: '%s' is part of no linear layer's name%s", key, part, did_you_mean(part, layers)
                    )
