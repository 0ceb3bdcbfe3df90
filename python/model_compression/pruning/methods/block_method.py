"""Blocks of a weight that are pruned as a whole."""

import torch
from torch.nn import functional as F

from ..registry import register_method
from .magnitude_method import UnstructuredMagnitudePruningMethod
from .methods_utils import handle_block_pruning_dims, magnitude_mask, magnitude_threshold

BLOCK_POOLING_FN_LUT = {"max": F.max_pool2d, "avg": F.avg_pool2d}


@register_method("iterative", "one_shot", name="block_structured_magnitude")
class BlockStructuredMagnitudePruningMethod(UnstructuredMagnitudePruningMethod):
    """The blocks of smallest mean or largest magnitude are zero.

    `block_dims` counts elements along the inputs and the outputs, or both by one number. Of weights with two axes,
    which the blocks divide.
    """

    def _init(
        self,
        target_sparsity=0.0,
        initial_sparsity=0.0,
        threshold_decay=0.0,
        block_dims=1,
        pooling_type="avg",
        fast_threshold=False,
    ):
        weight = getattr(self.module, self.name)
        if weight.dim() != 2:
            raise NotImplementedError(f"blocks are of weights with 2 axes, '{self.name}' has {weight.dim()}")
        if pooling_type not in BLOCK_POOLING_FN_LUT:
            known = " or ".join(sorted(BLOCK_POOLING_FN_LUT))
            raise ValueError(f"pooling_type must be {known}, is {pooling_type!r}")
        block, self.expanded_shape, self.pooled_shape = handle_block_pruning_dims(block_dims, weight.shape)
        if any(not isinstance(b, int) or b < 1 or d % b for d, b in zip(weight.shape, block, strict=True)):
            raise ValueError(
                f"blocks of {block[1]} inputs by {block[0]} outputs do not divide the weight {tuple(weight.shape)}"
            )
        self.block_dims = block
        self.pooling_type = BLOCK_POOLING_FN_LUT[pooling_type]
        super()._init(target_sparsity, initial_sparsity, threshold_decay, fast_threshold)

    @torch.no_grad()
    def _compute_mask(self):
        original = self.get_parameters("original")
        pooled = self.pooling_type(original.abs().unsqueeze(0), self.block_dims, self.block_dims).squeeze(0)
        self._threshold = magnitude_threshold(
            [pooled], self._current_sparsity, self._threshold, self.threshold_decay
        )
        keep = magnitude_mask(pooled, self._threshold).reshape(self.pooled_shape)
        self.set_parameter("mask", keep.expand(self.expanded_shape).reshape(original.shape))

    def extra_repr(self):
        """The blocks, too."""
        pooling = getattr(self.pooling_type, "__name__", self.pooling_type)
        return f"{super().extra_repr()}, block_dims={self.block_dims}, pooling_type={pooling}"
