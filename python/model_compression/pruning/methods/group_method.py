"""Magnitude pruning of several weights by one threshold."""

import weakref
from collections import defaultdict
from typing import ClassVar

import torch

from ..registry import register_method
from .method import PruningMethod
from .methods_utils import check_part, magnitude_mask, magnitude_threshold, on_the_way


class UnstructuredSparsityGroup:
    """Weights that are pruned as if they were one, by the methods that hold them. It keeps no method alive."""

    def __init__(self):
        self.target_sparsity = 0.0
        self.initial_sparsity = 0.0
        self.threshold_decay = 0.0
        self.threshold = 0.0
        self._current_sparsity = 0.0
        self.method_list = []

    def add(
        self, method, group_target_sparsity=None, group_initial_sparsity=None, group_threshold_decay=None
    ):
        """Takes in one more weight; what is given besides holds for the whole group from now on."""
        if group_target_sparsity is not None:
            self.target_sparsity = check_part("group_target_sparsity", group_target_sparsity)
        if group_initial_sparsity is not None:
            self.initial_sparsity = check_part("group_initial_sparsity", group_initial_sparsity)
            self._current_sparsity = self.initial_sparsity
        if group_threshold_decay is not None:
            self.threshold_decay = check_part("group_threshold_decay", group_threshold_decay)
        self.method_list.append(weakref.ref(method))

    def discard(self, method):
        """Lets a weight go."""
        self.method_list = [each for each in self.method_list if each() not in (None, method)]

    def methods(self):
        """The methods that are still in use."""
        return [method for method in (each() for each in self.method_list) if method is not None]

    def update_sparsity(self, sparsity_schedule=None):
        """Moves the sparsity to a part of the way from the initial one to the target."""
        if sparsity_schedule is not None:
            target = check_part("group_target_sparsity", self.target_sparsity)
            self._current_sparsity = on_the_way(self.initial_sparsity, target, sparsity_schedule)

    @torch.no_grad()
    def compute_new_threshold(self):
        """The threshold of all weights as they are now: 0 as long as nothing is to be pruned."""
        weights = [method.get_parameters("original") for method in self.methods()]
        if self._current_sparsity == 0 or not weights:
            self.threshold = 0.0
        else:
            self.threshold = magnitude_threshold(
                weights, self._current_sparsity, self.threshold, self.threshold_decay
            )
        return self.threshold

    def __getstate__(self):
        # Methods that are copied or loaded with the group join it by themselves.
        return {**self.__dict__, "method_list": []}


class GroupedUnstructuredMagnitudePruningMethod(PruningMethod):
    """The smallest elements of all weights of a group are zero, so that their sparsities differ."""

    GROUPS: ClassVar = defaultdict(UnstructuredSparsityGroup)

    def _init(
        self,
        group="default",
        group_target_sparsity=0.0,
        group_initial_sparsity=0.0,
        group_threshold_decay=0.0,
    ):
        check_part("group_target_sparsity", group_target_sparsity)
        check_part("group_initial_sparsity", group_initial_sparsity)
        check_part("group_threshold_decay", group_threshold_decay)
        self.group_name = group
        self.group = self.get_group(group)
        self.hold(torch.ones_like(getattr(self.module, self.name), requires_grad=False))
        self.group.add(self, group_target_sparsity, group_initial_sparsity, group_threshold_decay)

    def _compute_mask(self):
        self._mask_above(self.group.compute_new_threshold())

    @torch.no_grad()
    def _mask_above(self, threshold):
        self.set_parameter("mask", magnitude_mask(self.get_parameters("original"), threshold))

    def masked_weight(self, module):
        """The product of latent weight and mask: what is masked gets no gradient."""
        original, mask = self.get_parameters("original", "mask", module=module)
        return original * mask

    def _update_mask(self, sparsity_schedule=None):
        self.group.update_sparsity(sparsity_schedule)

    @classmethod
    def update_masks(cls, methods, sparsity_schedule=None):
        """Of whole groups, whose thresholds are computed once."""
        for group in {id(method.group): method.group for method in methods}.values():
            group.update_sparsity(sparsity_schedule)
            threshold = group.compute_new_threshold()
            for method in group.methods():
                method._mask_above(threshold)
                setattr(method.module, method.name, method.masked_weight(method.module))

    @classmethod
    def settle(cls, methods):
        """Masks by the threshold of all, in place of those that the weights before each had."""
        cls.update_masks(methods)

    @classmethod
    def get_group(cls, group_name):
        """The group of this name; a new one where there is none."""
        return cls.GROUPS[group_name]

    @classmethod
    def update_group_sparsity(cls, group_name, sparsity_schedule=None):
        """Moves the sparsity of a group and makes the masks of its weights anew."""
        group = cls.get_group(group_name)
        group.update_sparsity(sparsity_schedule)
        cls.update_masks(group.methods())

    def _leave(self, parameter):
        self.group.discard(self)
        super()._leave(parameter)

    def __deepcopy__(self, memo):
        duplicate = super().__deepcopy__(memo)
        duplicate.group.method_list.append(weakref.ref(duplicate))
        return duplicate

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.group.method_list.append(weakref.ref(self))

    def extra_repr(self):
        """The group, too."""
        decay = self.group.threshold_decay
        text = f', group="{self.group_name}", group_target_sparsity={self.group.target_sparsity}'
        return super().extra_repr() + text + (f", group_threshold_decay={decay}" if decay > 0 else "")


@register_method("iterative", "one_shot", name="global_unstructured_magnitude")
class GlobalUnstructuredMagnitudePruningMethod(GroupedUnstructuredMagnitudePruningMethod):
    """The smallest elements of all weights that are pruned so are zero."""

    def _init(self, group_target_sparsity=0.0, group_initial_sparsity=0.0, group_threshold_decay=0.0):
        super()._init("global", group_target_sparsity, group_initial_sparsity, group_threshold_decay)

    @classmethod
    def update_group_sparsity(cls, sparsity_schedule=None):
        """Moves the sparsity of all these weights and makes their masks anew."""
        super().update_group_sparsity("global", sparsity_schedule)
