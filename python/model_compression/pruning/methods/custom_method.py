"""Pruning by a mask that is given."""

import torch

from .method import PruningMethod


class CustomMaskPruningMethod(PruningMethod):
    """Holds a weight to a mask: what is 0 in it stays pruned until another mask is given.

    Without a mask nothing is pruned yet.
    """

    def _init(self, init_mask):
        weight = getattr(self.module, self.name)
        everything = torch.ones_like(weight, requires_grad=False)
        self.hold(everything if init_mask is None else self._checked(init_mask, weight))

    @staticmethod
    def _checked(mask, weight):
        if not isinstance(mask, torch.Tensor):
            raise TypeError(f"the mask must be a tensor shaped like the weight, not {type(mask).__name__}")
        if mask.shape != weight.shape:
            raise ValueError(
                f"the mask {tuple(mask.shape)} is not shaped like the weight {tuple(weight.shape)}"
            )
        return mask.detach().to(weight.device, weight.dtype)

    def _compute_mask(self):
        """The mask stays the one that was given."""

    def _update_mask(self, mask=None):
        if mask is not None:
            self.set_parameter("mask", self._checked(mask, self.get_parameters("original")))

    @classmethod
    def update_masks(cls, methods, sparsity_schedule):
        """Schedules do not change a mask that was given."""

    def masked_weight(self, module):
        """The product of latent weight and mask: what is masked gets no gradient."""
        original, mask = self.get_parameters("original", "mask", module=module)
        return original * mask
