"""Discovering neural wirings (Wortsman et al. 2019): pruned elements go on training, and can come back.

Their gradient is that of the zero in their place (equation 3 of the paper).
"""

from ..registry import register_method
from .block_method import BlockStructuredMagnitudePruningMethod
from .magnitude_method import UniformMagnitudePruningMethod, UnstructuredMagnitudePruningMethod
from .methods_utils import MaskFilledSTE


class _StraightThrough:
    def masked_weight(self, module):
        """The product of latent weight and mask; all of the latent weight gets the gradient."""
        original, mask = self.get_parameters("original", "mask", module=module)
        return MaskFilledSTE.apply(original, mask)


@register_method("iterative", name="unstructured_neural_wiring")
class UnstructuredNeuralWiringPruningMethod(_StraightThrough, UnstructuredMagnitudePruningMethod):
    """Unstructured magnitude pruning of latent weights that all train."""


@register_method("iterative", name="block_structured_neural_wiring")
class BlockStructuredNeuralWiringPruningMethod(_StraightThrough, BlockStructuredMagnitudePruningMethod):
    """Block magnitude pruning of latent weights that all train."""


@register_method("iterative", name="uniform_neural_wiring")
class UniformNeuralWiringPruningMethod(_StraightThrough, UniformMagnitudePruningMethod):
    """Uniform magnitude pruning of latent weights that all train."""
