"""When weights are pruned while a model trains."""

from .iterative_scheduler import IterativePruningConfig, IterativePruningScheduler
from .one_shot_scheduler import OneShotPruningConfig, OneShotPruningScheduler
from .scheduler import PruningConfig, PruningScheduler

__all__ = [
    "IterativePruningConfig",
    "IterativePruningScheduler",
    "OneShotPruningConfig",
    "OneShotPruningScheduler",
    "PruningConfig",
    "PruningScheduler",
]
