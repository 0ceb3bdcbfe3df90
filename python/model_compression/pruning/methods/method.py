"""What every pruning method does to a module: latent values, a mask, and their product in the parameter's place."""

import abc
import copy
import functools
import logging

from torch import nn

logger = logging.getLogger(__name__)


def _methods_of(module):
    return [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, PruningMethod)]


def _get_pruning_parameters(module, *names, name="weight"):
    """What the method that prunes `name` registered in the module under `names` ('original', 'mask', 'method')."""
    return getattr(module, PruningMethod._generate_name(name, "method")).get_parameters(*names, module=module)


def _describe(module):
    lines = [f"  (pruning): {method!r}".replace("PruningMethod", "") for method in _methods_of(module)]
    return "\n".join([type(module).extra_repr(module), *lines])


class PruningMethod(abc.ABC):
    """Prunes one parameter of a module.

    For a parameter `weight` the module gets `weight_original` (the parameter that trains), `weight_mask` (a buffer),
    `weight_method` (this object), `get_pruning_parameters(...)`, and an ordinary tensor `weight`: their product,
    made anew before each forward pass. `remove()` undoes all of that and leaves a pruned parameter `weight`.
    """

    def __init__(self, module, name="weight", **kwargs):
        if not isinstance(module, nn.Module):
            raise TypeError(f"a torch.nn.Module is pruned, not {type(module).__name__}")
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no parameter '{name}' to prune")
        self.module = module
        self.name = name
        self.names_dict = {}
        self.register_name("method")
        if hasattr(module, self.get_name("method")):
            other = type(getattr(module, self.get_name("method"))).__name__
            raise RuntimeError(f"'{name}' of {type(module).__name__} is pruned by {other} already")
        if not isinstance(getattr(module, name), nn.Parameter):
            raise TypeError(f"'{name}' of {type(module).__name__} is not a parameter and cannot be pruned")
        self._init(**kwargs)
        self.set_parameter("method", self)
        module.get_pruning_parameters = functools.partial(_get_pruning_parameters, module)
        module.extra_repr = functools.partial(_describe, module)
        self.remove_handler = module.register_forward_pre_hook(self)
        try:
            self.compute_mask()
        except Exception:
            if "original" in self.names_dict:
                self._leave(self.get_parameters("original"))
            raise

    def _init(self):
        """For a subclass: takes the method's own arguments and calls `hold()`, before the first mask is made."""

    @abc.abstractmethod
    def _compute_mask(self):
        """For a subclass: makes the mask anew."""

    @abc.abstractmethod
    def masked_weight(self, module):
        """For a subclass: the tensor that takes the parameter's place in `module`."""

    def _update_mask(self, *args, **kwargs):
        """For a subclass: takes what `update_mask` was given, before the mask is made anew."""

    def __call__(self, module, inputs):
        # `module` may be a replica on another device (nn.DataParallel), so self.module is no use here.
        setattr(module, self.name, self.masked_weight(module))

    def compute_mask(self):
        """Makes the mask anew and puts it into effect."""
        self._compute_mask()
        setattr(self.module, self.name, self.masked_weight(self.module))

    def update_mask(self, *args, **kwargs):
        """Makes the mask anew for a new state, such as the part of the way to the target sparsity."""
        self._update_mask(*args, **kwargs)
        self.compute_mask()

    @classmethod
    def update_masks(cls, methods, sparsity_schedule):
        """`update_mask` of several methods of this class; one that shares work between them overrides it."""
        for method in methods:
            method.update_mask(sparsity_schedule)

    @classmethod
    def settle(cls, methods):
        """After a scheduler has made methods of this class: for one whose masks depend on each other."""

    def remove(self):
        """Makes the masked values the parameter, and leaves nothing of the pruning behind."""
        weight = self.masked_weight(self.module).detach()
        trains = "original" not in self.names_dict or self.get_parameters("original").requires_grad
        self._leave(nn.Parameter(weight, requires_grad=trains))

    def _leave(self, parameter):
        for name in self.names_dict.values():
            delattr(self.module, name)
        self.remove_handler.remove()
        if not _methods_of(self.module):
            del self.module.get_pruning_parameters, self.module.extra_repr
        if hasattr(self.module, self.name):
            delattr(self.module, self.name)
        self.module.register_parameter(self.name, parameter)

    def hold(self, mask):
        """Moves the parameter to `NAME_original` and registers `mask` (may be None) beside it."""
        self.register_name("original")
        self.register_name("mask")
        original = getattr(self.module, self.name)
        delattr(self.module, self.name)
        self.module.register_parameter(self.get_name("original"), original)
        self.module.register_buffer(self.get_name("mask"), mask)

    def register_name(self, name):
        """Reserves `PARAMETER_name` in the module for what `get_parameters(name)` gives."""
        if name in self.names_dict:
            logger.warning("'%s' is registered already by %r", name, self)
        self.names_dict[name] = self._generate_name(self.name, name)

    @staticmethod
    def _generate_name(weight_name, param_name):
        return f"{weight_name}_{param_name}"

    def get_name(self, name):
        """The name in the module of what was registered as `name`."""
        return self.names_dict[name]

    def get_module(self, module=None):
        """`module`, or the one that this method was made for."""
        return self.module if module is None else module

    def get_parameters(self, *names, module=None):
        """What is registered under these names: one alone, or a list."""
        values = [getattr(self.get_module(module), self.get_name(name)) for name in names]
        return values if len(values) > 1 else values[0]

    def set_parameter(self, name, value, module=None):
        """Replaces what is registered under a name, and gives it back."""
        setattr(self.get_module(module), self.get_name(name), value)
        return value

    def __deepcopy__(self, memo):
        # Tensors within an autograd graph cannot be copied. The masked weight is such a one, and a copied module
        # comes by here before it comes to it.
        weight = getattr(self.module, self.name)
        memo.setdefault(id(weight), weight.detach().clone())
        duplicate = memo[id(self)] = type(self).__new__(type(self))
        for key, value in self.__dict__.items():
            setattr(duplicate, key, copy.deepcopy(value, memo))
        return duplicate

    def extra_repr(self):
        """What stands between the parentheses of repr()."""
        return f'module_type={type(self.module).__name__}, pruned_tensor="{self.name}"'

    def __repr__(self):
        return f"{type(self).__name__}({self.extra_repr()})"
