"""Quantization-aware training: what fake_quantize.py and linear.py have, under one name."""

from .fake_quantize import (
    FakeQuantize,
    _dequantize,
    _get_a_n_scale_decomposition,
    _quantize,
    _requantize,
    calc_max_quant_value,
    default_activation_fake_quant,
    default_weight_fake_quant,
)
from .linear import QUANT_MAPPING, UNQUANT_MAPPING, QuantizedLinear

__all__ = [
    "QUANT_MAPPING",
    "UNQUANT_MAPPING",
    "FakeQuantize",
    "QuantizedLinear",
    "_dequantize",
    "_get_a_n_scale_decomposition",
    "_quantize",
    "_requantize",
    "calc_max_quant_value",
    "default_activation_fake_quant",
    "default_weight_fake_quant",
]
