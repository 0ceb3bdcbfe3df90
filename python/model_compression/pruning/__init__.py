"""Pruning of any torch.nn.Module while it trains, by the names of IntelLabs' model_compression_research."""

from . import methods as _methods
from . import schedulers as _schedulers
from .methods import *
from .registry import list_methods, list_schedulers
from .schedulers import *

__all__ = ["list_methods", "list_schedulers"]
__all__ += _methods.__all__
__all__ += _schedulers.__all__
