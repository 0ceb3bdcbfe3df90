"""Pruning that grows while a model trains (Zhu and Gupta 2017, "To prune, or not to prune")."""

from typing import ClassVar

from ..registry import register_scheduler
from .scheduler import PruningConfig, PruningScheduler


class IterativePruningConfig(PruningConfig):
    """When masks are made anew, and how sparsity grows, besides what PruningConfig says.

    pruning_frequency: steps between two new masks.
    begin_pruning_step, end_pruning_step: masks are made from the one to the other (-1: until training ends).
    policy_begin_step, policy_end_step: sparsity grows from the initial one to the target between these.
    """

    ATTRIBUTES = PruningConfig.add_attributes(
        {
            "pruning_frequency": 100,
            "begin_pruning_step": 0,
            "end_pruning_step": -1,
            "policy_begin_step": 0,
            "policy_end_step": 1000,
        }
    )


@register_scheduler("iterative")
class IterativePruningScheduler(PruningScheduler):
    """Makes the masks anew every few steps, for a sparsity that grows as a cubic polynomial of the step."""

    SCHEDULER_CONFIG = IterativePruningConfig
    PRUNING_FN_DICT: ClassVar = {}

    def __init__(self, model, config, pruning_fn=None, tb_writer=None, initial_step=None):
        if isinstance(config, IterativePruningConfig):
            _check_steps(config)
        super().__init__(model, config, pruning_fn, tb_writer, initial_step)

    def step(self):
        """After each step of the optimizer: makes masks where they are due."""
        if self._is_pruning_step():
            self.prune()
        super().step()

    def prune(self):
        """Makes all masks anew, for the sparsity of this step."""
        for kind, methods in self._methods_by_kind():
            kind.update_masks(methods, self.get_sparsity_schedule())

    def get_sparsity_schedule(self):
        """The part of the way from the initial to the target sparsity: 1 - (1 - t)^3 (equation 1 of the paper)."""
        begin, end = self.config.policy_begin_step, self.config.policy_end_step
        if begin >= end:
            return float(self.global_step >= end)
        left = min(max(1 - (self.global_step - begin) / (end - begin), 0.0), 1.0)
        return 1 - left**3

    def _is_pruning_step(self):
        since = self.global_step - self.config.begin_pruning_step
        ended = self.config.end_pruning_step != -1 and self.global_step > self.config.end_pruning_step
        return since >= 0 and not ended and since % self.config.pruning_frequency == 0

    def tb_log(self):
        """The part of the way that is aimed at, too."""
        if self.writer is not None:
            self.writer.add_scalar("pruning/target_sparsity", self.get_sparsity_schedule(), self.global_step)
            super().tb_log()

    def extra_repr(self):
        """The step and how far it is, too."""
        way = self.get_sparsity_schedule()
        return f"global_step={self.global_step}, current_sparsity={way:.3f}, {super().extra_repr()}"


def _check_steps(config):
    for name in ("pruning_frequency", "begin_pruning_step", "policy_begin_step", "policy_end_step"):
        value, least = getattr(config, name), 1 if name == "pruning_frequency" else 0
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number of steps, is {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, is {value}")
    if config.policy_end_step < config.policy_begin_step:
        raise ValueError(
            f"policy_end_step {config.policy_end_step} is before policy_begin_step {config.policy_begin_step}"
        )
