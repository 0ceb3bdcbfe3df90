"""Arithmetic that pruning methods share."""

import itertools
from collections.abc import Iterable

import torch

from ... import _core


class MaskFilledSTE(torch.autograd.Function):
    """input * mask, whose gradient passes to all of `input` as if nothing were masked (straight-through)."""

    @staticmethod
    def forward(ctx, input, mask):
        """Masks."""
        return input * mask

    @staticmethod
    def backward(ctx, grad_output):
        """Passes the gradient on."""
        return grad_output, None


def check_part(name, value):
    """`value` as a float. TypeError or ValueError, with its name, where it is no number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, is {value}")
    return float(value)


def on_the_way(initial, target, way):
    """The sparsity after the part `way` of the way from `initial` to `target`; `initial` where it is None."""
    return initial if way is None else initial + (target - initial) * way


def magnitude_threshold(tensors, sparsity, current_threshold=0.0, threshold_decay=0.0):
    """The magnitude that the part `sparsity` of the elements of all tensors together does not exceed.

    Of n elements it is the int(sparsity * n)-th smallest, or -1 where that is none (all magnitudes exceed it), mixed
    with the threshold before it. A float.
    """
    count = int(sparsity * sum(tensor.numel() for tensor in tensors))
    threshold = _core.nth_magnitude([tensor.detach() for tensor in tensors], count) if count > 0 else -1.0
    return current_threshold * threshold_decay + (1 - threshold_decay) * threshold


def magnitude_mask(weight, threshold):
    """1 where a magnitude exceeds the threshold, else 0; of the weight's type."""
    return _core.magnitude_mask(weight.detach(), float(threshold))


def calc_pruning_threshold(
    tensor, target_sparsity, current_threshold=0.0, threshold_decay=0.0, block_size=1, fast=False
):
    """The value that the part `target_sparsity` of a tensor's elements does not exceed, mixed with the one before.

    With `block_size` above 1, one for each `block_size` neighbours in a row (of tensors of at most two axes). `fast`
    has no effect: exact thresholds are fast.
    """
    target_sparsity = check_part("target_sparsity", target_sparsity)
    if tensor.dim() > 2 and block_size != 1:
        raise NotImplementedError(
            f"thresholds of blocks are for tensors of one or two axes, not {tensor.dim()} (block_size {block_size})"
        )
    rows = tensor.flatten() if block_size == 1 else tensor.reshape(-1, block_size)
    count = int(target_sparsity * rows.shape[-1])
    threshold = rows.kthvalue(count, dim=-1).values if count > 0 else tensor.min() - 1
    return current_threshold * threshold_decay + (1 - threshold_decay) * threshold


def handle_block_pruning_dims(block_dims, tensor_shape):
    """Blocks given along (inputs, outputs, ...) as sizes along a weight's axes (outputs, inputs, ...).

    Gives (block, expanded shape, pooled shape): for each axis of length d with blocks of b, the expanded shape has
    (d // b, b) and the pooled one (d // b, 1).
    """
    rank = len(tensor_shape)
    block = tuple(block_dims) if isinstance(block_dims, Iterable) else rank * (block_dims,)
    if len(block) > rank:
        raise ValueError(f"block_dims {block} name {len(block)} axes, the weight has {rank}")
    block = (rank - len(block)) * (1,) + block
    if rank > 1:
        block = (block[1], block[0], *block[2:])
    expanded = itertools.chain.from_iterable((d // b, b) for d, b in zip(tensor_shape, block, strict=True))
    pooled = itertools.chain.from_iterable((d // b, 1) for d, b in zip(tensor_shape, block, strict=True))
    return block, tuple(expanded), tuple(pooled)
