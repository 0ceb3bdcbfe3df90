"""N:M sparsity, which sparse tensor cores run."""

import torch

from ... import _core
from ..registry import register_method
from .magnitude_method import UnstructuredMagnitudePruningMethod


@register_method("iterative", "one_shot", name="n_m_magnitude")
class NToMMagnitudePruningMethod(UnstructuredMagnitudePruningMethod):
    """Of each `m` successive input channels the `n` largest elements stay (Mishra et al. 2021).

    The target sparsity is 1 - n / m. On the way there, and at the initial sparsity, the part of each group that is
    asked for goes.
    """

    def _init(self, n=2, m=4, initial_sparsity=0.0):
        if not isinstance(n, int) or not isinstance(m, int) or not 1 <= n < m:
            raise ValueError(f"N:M pruning keeps at least 1 and fewer than M of M, not {n!r} of {m!r}")
        shape = getattr(self.module, self.name).shape
        if len(shape) < 2 or shape[1] < m:
            raise ValueError(
                f"{n}:{m} needs at least {m} input channels, the weight {tuple(shape)} has fewer"
            )
        self.n, self.m = n, m
        super()._init(target_sparsity=1 - n / m, initial_sparsity=initial_sparsity)

    @torch.no_grad()
    def _compute_mask(self):
        original = self.get_parameters("original")
        keep, _ = _core.keep_masks(
            [original.detach()], self._current_sparsity, structure="n_m", n=self.n, m=self.m
        )
        self.set_parameter("mask", keep[0].to(original.dtype))

    def extra_repr(self):
        """The pattern, too."""
        return f"{super().extra_repr()}, pattern={self.n}:{self.m}"
