"""Zeros that stay where they are."""

from ..registry import register_method
from .custom_method import CustomMaskPruningMethod


@register_method("one_shot", name="pattern_lock")
class PatternLockPruningMethod(CustomMaskPruningMethod):
    """What is zero stays zero, while the other elements train."""

    def _init(self):
        super()._init(self.get_sparsity_pattern_mask())

    def get_sparsity_pattern_mask(self):
        """1 where the weight is not zero."""
        weight = getattr(self.module, self.name).detach()
        return weight.ne(0).to(weight.dtype)

    def _update_mask(self):
        super()._update_mask(self.get_sparsity_pattern_mask())
