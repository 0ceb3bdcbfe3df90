"""Unstructured magnitude pruning, and what the other magnitude methods have in common with it."""

import torch

from ..registry import register_method
from .method import PruningMethod
from .methods_utils import calc_pruning_threshold, check_part, magnitude_mask, magnitude_threshold, on_the_way


@register_method("iterative", "one_shot", name="unstructured_magnitude")
class UnstructuredMagnitudePruningMethod(PruningMethod):
    """The smallest elements of a weight are zero (Han et al. 2015, "Learning both weights and connections").

    `threshold_decay` is the part of the old threshold in the new one; above 0 the sparsity is only approached.
    """

    def _init(self, target_sparsity=0.0, initial_sparsity=0.0, threshold_decay=0.0, fast_threshold=False):
        self.target_sparsity = check_part("target_sparsity", target_sparsity)
        self.initial_sparsity = check_part("initial_sparsity", initial_sparsity)
        self.threshold_decay = check_part("threshold_decay", threshold_decay)
        self.fast_threshold = fast_threshold
        self._current_sparsity = self.initial_sparsity
        self._threshold = 0.0
        self.hold(torch.ones_like(getattr(self.module, self.name), requires_grad=False))

    @torch.no_grad()
    def _compute_mask(self):
        original = self.get_parameters("original")
        self._update_threshold(original)
        self.set_parameter("mask", magnitude_mask(original, self._threshold))

    def _update_threshold(self, tensor):
        self._threshold = magnitude_threshold(
            [tensor], self._current_sparsity, self._threshold, self.threshold_decay
        )

    def masked_weight(self, module):
        """The product of latent weight and mask: what is masked gets no gradient."""
        original, mask = self.get_parameters("original", "mask", module=module)
        return original * mask

    def _update_mask(self, sparsity_schedule=None):
        if sparsity_schedule is not None:
            target = check_part("target_sparsity", self.target_sparsity)
            self._current_sparsity = on_the_way(self.initial_sparsity, target, sparsity_schedule)

    def extra_repr(self):
        """The sparsity that is aimed at, too."""
        decay = f", threshold_decay={self.threshold_decay}" if self.threshold_decay > 0 else ""
        return f"{super().extra_repr()}, target_sparsity={self.target_sparsity}{decay}"


@register_method("iterative", "one_shot", name="uniform_magnitude")
class UniformMagnitudePruningMethod(UnstructuredMagnitudePruningMethod):
    """Each `block_size` neighbours lose the same part (Yao et al. 2019, "Balanced sparsity").

    A block size of 1 means the whole weight.
    """

    def _init(self, target_sparsity=0.0, initial_sparsity=0.0, block_size=1):
        if not isinstance(block_size, int) or block_size < 1:
            raise ValueError(f"block_size must be a whole number from 1 on, is {block_size!r}")
        numel = getattr(self.module, self.name).numel()
        if numel % block_size:
            raise ValueError(f"blocks of {block_size} do not divide the {numel} elements of '{self.name}'")
        self.block_size = block_size
        super()._init(target_sparsity=target_sparsity, initial_sparsity=initial_sparsity)

    @torch.no_grad()
    def _compute_mask(self):
        if self.block_size == 1:
            return super()._compute_mask()
        original = self.get_parameters("original")
        rows = original.abs().reshape(-1, self.block_size)
        self._threshold = calc_pruning_threshold(rows, self._current_sparsity, block_size=self.block_size)
        keep = rows > self._threshold.unsqueeze(-1)
        self.set_parameter("mask", keep.to(original.dtype).reshape(original.shape))
