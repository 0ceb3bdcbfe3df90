"""What is pruned and how: methods as classes, and functions that apply one to a module."""

from .block_method import BLOCK_POOLING_FN_LUT, BlockStructuredMagnitudePruningMethod
from .custom_method import CustomMaskPruningMethod
from .functional import (
    block_structured_magnitude_pruning,
    block_structured_neural_wiring_pruning,
    custom_mask_pruning,
    global_unstructured_magnitude_pruning,
    grouped_unstructured_magnitude_pruning,
    lock_tensor_sparsity_pattern,
    uniform_magnitude_pruning,
    uniform_neural_wiring_pruning,
    unstructured_magnitude_pruning,
    unstructured_neural_wiring_pruning,
)
from .group_method import (
    GlobalUnstructuredMagnitudePruningMethod,
    GroupedUnstructuredMagnitudePruningMethod,
    UnstructuredSparsityGroup,
)
from .magnitude_method import UniformMagnitudePruningMethod, UnstructuredMagnitudePruningMethod
from .method import PruningMethod
from .methods_utils import MaskFilledSTE, calc_pruning_threshold, handle_block_pruning_dims
from .n_m_method import NToMMagnitudePruningMethod
from .neural_wiring_method import (
    BlockStructuredNeuralWiringPruningMethod,
    UniformNeuralWiringPruningMethod,
    UnstructuredNeuralWiringPruningMethod,
)
from .pattern_lock import PatternLockPruningMethod

__all__ = [
    "BLOCK_POOLING_FN_LUT",
    "BlockStructuredMagnitudePruningMethod",
    "BlockStructuredNeuralWiringPruningMethod",
    "CustomMaskPruningMethod",
    "GlobalUnstructuredMagnitudePruningMethod",
    "GroupedUnstructuredMagnitudePruningMethod",
    "MaskFilledSTE",
    "NToMMagnitudePruningMethod",
    "PatternLockPruningMethod",
    "PruningMethod",
    "UniformMagnitudePruningMethod",
    "UniformNeuralWiringPruningMethod",
    "UnstructuredMagnitudePruningMethod",
    "UnstructuredNeuralWiringPruningMethod",
    "UnstructuredSparsityGroup",
    "block_structured_magnitude_pruning",
    "block_structured_neural_wiring_pruning",
    "calc_pruning_threshold",
    "custom_mask_pruning",
    "global_unstructured_magnitude_pruning",
    "grouped_unstructured_magnitude_pruning",
    "handle_block_pruning_dims",
    "lock_tensor_sparsity_pattern",
    "uniform_magnitude_pruning",
    "uniform_neural_wiring_pruning",
    "unstructured_magnitude_pruning",
    "unstructured_neural_wiring_pruning",
]
