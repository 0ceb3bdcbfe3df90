"""One module pruned by one call. Each function gives (module, method); called again, it moves the pruning on."""

from .block_method import BlockStructuredMagnitudePruningMethod
from .custom_method import CustomMaskPruningMethod
from .group_method import GlobalUnstructuredMagnitudePruningMethod, GroupedUnstructuredMagnitudePruningMethod
from .magnitude_method import UniformMagnitudePruningMethod, UnstructuredMagnitudePruningMethod
from .neural_wiring_method import (
    BlockStructuredNeuralWiringPruningMethod,
    UniformNeuralWiringPruningMethod,
    UnstructuredNeuralWiringPruningMethod,
)
from .pattern_lock import PatternLockPruningMethod


def _method_of(kind, module, name):
    method = getattr(module, f"{name}_method", None)
    if method is not None and not isinstance(method, kind):
        raise RuntimeError(
            f"'{name}' of {type(module).__name__} is pruned by {type(method).__name__} already"
        )
    return method


def _prune(kind, module, name, target_sparsity, **kwargs):
    method = _method_of(kind, module, name)
    if method is None:
        return module, kind(module, name, target_sparsity=target_sparsity, **kwargs)
    method.target_sparsity = target_sparsity
    method.update_mask(1)
    return module, method


def unstructured_magnitude_pruning(
    module,
    name="weight",
    target_sparsity=0.0,
    initial_sparsity=0.0,
    threshold_decay=0.0,
    fast_threshold=False,
):
    """Prunes to the initial sparsity; called again, to the target."""
    return _prune(
        UnstructuredMagnitudePruningMethod,
        module,
        name,
        target_sparsity,
        initial_sparsity=initial_sparsity,
        threshold_decay=threshold_decay,
        fast_threshold=fast_threshold,
    )


def uniform_magnitude_pruning(module, name="weight", target_sparsity=0.0, initial_sparsity=0.0, block_size=1):
    """The same part of each `block_size` neighbours; called again, to the target."""
    return _prune(
        UniformMagnitudePruningMethod,
        module,
        name,
        target_sparsity,
        initial_sparsity=initial_sparsity,
        block_size=block_size,
    )


def block_structured_magnitude_pruning(
    module,
    name="weight",
    target_sparsity=0.0,
    initial_sparsity=0.0,
    threshold_decay=0.0,
    block_dims=1,
    pooling_type="avg",
    fast_threshold=False,
):
    """Whole blocks; called again, to the target."""
    return _prune(
        BlockStructuredMagnitudePruningMethod,
        module,
        name,
        target_sparsity,
        initial_sparsity=initial_sparsity,
        threshold_decay=threshold_decay,
        block_dims=block_dims,
        pooling_type=pooling_type,
        fast_threshold=fast_threshold,
    )


def unstructured_neural_wiring_pruning(
    module,
    name="weight",
    target_sparsity=0.0,
    initial_sparsity=0.0,
    threshold_decay=0.0,
    fast_threshold=False,
):
    """As unstructured_magnitude_pruning, of latent weights that all train."""
    return _prune(
        UnstructuredNeuralWiringPruningMethod,
        module,
        name,
        target_sparsity,
        initial_sparsity=initial_sparsity,
        threshold_decay=threshold_decay,
        fast_threshold=fast_threshold,
    )


def uniform_neural_wiring_pruning(
    module, name="weight", target_sparsity=0.0, initial_sparsity=0.0, block_size=1
):
    """As uniform_magnitude_pruning, of latent weights that all train."""
    return _prune(
        UniformNeuralWiringPruningMethod,
        module,
        name,
        target_sparsity,
        initial_sparsity=initial_sparsity,
        block_size=block_size,
    )


def block_structured_neural_wiring_pruning(
    module,
    name="weight",
    target_sparsity=0.0,
    initial_sparsity=0.0,
    threshold_decay=0.0,
    block_dims=1,
    pooling_type="avg",
    fast_threshold=False,
):
    """As block_structured_magnitude_pruning, of latent weights that all train."""
    return _prune(
        BlockStructuredNeuralWiringPruningMethod,
        module,
        name,
        target_sparsity,
        initial_sparsity=initial_sparsity,
        threshold_decay=threshold_decay,
        block_dims=block_dims,
        pooling_type=pooling_type,
        fast_threshold=fast_threshold,
    )


def _prune_group(kind, module, name, group, target, initial, decay):
    method = None if module is None else _method_of(kind, module, name)
    if module is not None and method is None:
        return module, kind(
            module,
            name,
            group_target_sparsity=target,
            group_initial_sparsity=initial,
            group_threshold_decay=decay,
            **({} if kind is GlobalUnstructuredMagnitudePruningMethod else {"group": group}),
        )
    members = kind.get_group(group)
    members.target_sparsity = target
    members.update_sparsity(1)
    kind.update_masks(members.methods())
    return module, method


def grouped_unstructured_magnitude_pruning(
    module=None,
    name="weight",
    group="default",
    group_target_sparsity=0.0,
    group_initial_sparsity=0.0,
    threshold_decay=0.0,
):
    """Adds a weight to a group; called without a module or again, prunes the group to its target."""
    return _prune_group(
        GroupedUnstructuredMagnitudePruningMethod,
        module,
        name,
        group,
        group_target_sparsity,
        group_initial_sparsity,
        threshold_decay,
    )


def global_unstructured_magnitude_pruning(
    module=None, name="weight", group_target_sparsity=0.0, group_initial_sparsity=0.0, threshold_decay=0.0
):
    """Adds a weight to the global group; called without a module or again, prunes the group to its target."""
    return _prune_group(
        GlobalUnstructuredMagnitudePruningMethod,
        module,
        name,
        "global",
        group_target_sparsity,
        group_initial_sparsity,
        threshold_decay,
    )


def custom_mask_pruning(module, name="weight", mask=None):
    """Holds a weight to a mask; called again, to another one (or to the same, without one)."""
    method = _method_of(CustomMaskPruningMethod, module, name)
    if method is None:
        method = CustomMaskPruningMethod(module, name, init_mask=mask)
    else:
        method.update_mask(mask)
    return module, method


def lock_tensor_sparsity_pattern(module, name="weight"):
    """Keeps the zeros that a weight has."""
    method = _method_of(PatternLockPruningMethod, module, name)
    if method is None:
        method = PatternLockPruningMethod(module, name)
    else:
        method.update_mask()
    return module, method
