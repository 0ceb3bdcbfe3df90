"""Pruning at once."""

from typing import ClassVar

from ..registry import register_scheduler
from .scheduler import PruningConfig, PruningScheduler


class OneShotPruningConfig(PruningConfig):
    """What PruningConfig says; the sparsity is `initial_sparsity`, or the target where only that is given."""


@register_scheduler("one_shot")
class OneShotPruningScheduler(PruningScheduler):
    """Makes the masks when it is made itself. What becomes of them while training is up to the method."""

    SCHEDULER_CONFIG = OneShotPruningConfig
    PRUNING_FN_DICT: ClassVar = {}

    def init_prune(self):
        """Also prunes to the target where no initial sparsity is given: there is no later step to reach it."""
        super().init_prune()
        aims = ("target_sparsity", "group_target_sparsity", "n")
        starts = ("initial_sparsity", "group_initial_sparsity")
        by_kind = {}
        for each in self.method_dicts:
            kwargs = each["kwargs"]
            if any(key in kwargs for key in aims) and not any(key in kwargs for key in starts):
                by_kind.setdefault(type(each["method"]), []).append(each["method"])
        for kind, methods in by_kind.items():
            kind.update_masks(methods, 1.0)

    def step(self):
        """Counts; masks stay."""
        super().step()
