"""Quantization-aware training of linear layers, by the names of IntelLabs' model_compression_research."""

from .qat import QuantizedLinear
from .quantizer import Quantizer, QuantizerConfig

__all__ = ["QuantizedLinear", "Quantizer", "QuantizerConfig"]
