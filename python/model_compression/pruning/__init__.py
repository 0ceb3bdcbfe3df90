"""Pruning of any torch.nn.Module while it trains, by the names of IntelLabs' model_compression_research."""

from . import methods as _methods
from . import schedulers as _schedulers
from .methods import *
from .registry import list_methods, list_schedulers, register_method, register_scheduler
from .schedulers import *
from .schedulers.schedulers_utils import parse_model_for_pruning

__all__ = [
    "list_methods",
    "list_schedulers",
    "parse_model_for_pruning",
    "register_method",
    "register_scheduler",
]
__all__ += _methods.__all__
__all__ += _schedulers.__all__
