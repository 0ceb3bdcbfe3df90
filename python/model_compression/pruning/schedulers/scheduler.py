"""What pruning schedulers have in common: a configuration, the methods it leads to, and their life."""

import abc
from typing import ClassVar

from torch import nn

from ...utils import Config
from ..registry import find_method
from .schedulers_utils import parse_model_for_pruning


class PruningConfig(Config):
    """Which weights are pruned, and how. Layers are told apart by regular expressions anywhere in their names.

    pruning_fn: name of a method (`list_methods()`), or a function of (module, **kwargs) that gives one.
    pruning_fn_default_kwargs: arguments of the method, for all layers.
    prune_layer_types: {class name of a layer: arguments}, what is pruned; `name` is the parameter's.
    not_to_prune: patterns of layers that stay dense.
    weight_sparsity_map: {pattern: arguments} for some of the layers.
    explicit_prune: {pattern: arguments} of layers that are pruned in any case, whatever their class.
    init_strategy: how the target sparsity is spread. "uniform": each weight has it; "er", "erk": Erdos-Renyi
        without and with the kernel, together the target (then weight_sparsity_map has no effect).
    initial_step: what the scheduler's count of steps starts from.
    scheduler: name of the scheduler, for factories.
    """

    ATTRIBUTES = Config.add_attributes(
        {
            "pruning_fn": None,
            "pruning_fn_default_kwargs": {},
            "prune_layer_types": {"Linear": {"name": "weight"}, "Conv2d": {"name": "weight"}},
            "not_to_prune": [],
            "weight_sparsity_map": {},
            "explicit_prune": {},
            "init_strategy": "uniform",
            "initial_step": 0,
            "scheduler": None,
        }
    )


class PruningScheduler(abc.ABC):
    """Prunes the weights of a model while it trains.

    Make it before the optimizer (parameters are renamed), call `step()` after each step of the optimizer, and
    `remove_pruning()` in the end.
    """

    SCHEDULER_CONFIG: type = None
    PRUNING_FN_DICT: ClassVar = {}

    def __init__(self, model, config, pruning_fn=None, tb_writer=None, initial_step=None):
        if not isinstance(model, nn.Module):
            raise TypeError(f"a torch.nn.Module is pruned, not {type(model).__name__}")
        if type(config) is not self.SCHEDULER_CONFIG:
            raise TypeError(
                f"{type(self).__name__} takes a {self.SCHEDULER_CONFIG.__name__}, not {type(config).__name__}"
            )
        pruning_fn = config.pruning_fn if pruning_fn is None else pruning_fn
        if pruning_fn is None:
            raise AttributeError("no pruning function: give pruning_fn, or name one in the configuration")
        self.model = model
        self.config = config
        self.writer = tb_writer
        self.pruning_fn = pruning_fn if callable(pruning_fn) else find_method(type(self), pruning_fn)
        self.global_step = config.initial_step if initial_step is None else initial_step
        self.method_dicts = []
        self.init_prune()

    def init_prune(self):
        """Puts a pruning method on each weight that the configuration names; all of them, or on an error none."""
        kwargs_of = parse_model_for_pruning(self.model, self.config)
        try:
            for name, module in self.model.named_modules():
                if name in kwargs_of:
                    self._init_method(name, module, kwargs_of[name])
            for kind, methods in self._methods_by_kind():
                kind.settle(methods)
        except Exception:
            self.remove_pruning()
            raise

    def _init_method(self, name, module, kwargs):
        try:
            method = self.pruning_fn(module, **kwargs)
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer '{name}': {error}") from error
        if isinstance(method, tuple):  # of a function like unstructured_magnitude_pruning: (module, method)
            method = method[-1]
        self.method_dicts.append({"name": name, "kwargs": kwargs, "method": method})

    def _methods_by_kind(self):
        by_kind = {}
        for each in self.method_dicts:
            by_kind.setdefault(type(each["method"]), []).append(each["method"])
        return by_kind.items()

    @abc.abstractmethod
    def step(self):
        """After each step of the optimizer."""
        self.global_step += 1

    def remove_pruning(self):
        """Leaves pruned parameters under their old names, and nothing else. A second call does nothing."""
        methods, self.method_dicts = self.method_dicts, []
        for each in methods:
            each["method"].remove()

    def tb_log(self):
        """Writes the sparsities to the TensorBoard writer, where there is one."""
        if self.writer is None:
            return
        total, nonzero = 0, 0
        for each in self.method_dicts:
            method = each["method"]
            weight = getattr(method.module, method.name).detach()
            stay = int(weight.count_nonzero())
            total, nonzero = total + weight.numel(), nonzero + stay
            sparsity = 1 - stay / max(weight.numel(), 1)
            self.writer.add_scalar(f"sparsity_per_layer/{each['name']}", sparsity, self.global_step)
        if total:
            self.writer.add_scalar("pruning/average_model_sparsity", 1 - nonzero / total, self.global_step)

    def print_pruning_methods(self, flush=False):
        """Prints the layers and methods."""
        print(f"{type(self).__name__} Pruned Methods:", flush=flush)
        for each in self.method_dicts:
            print(each, flush=flush)

    def extra_repr(self):
        """What stands between the parentheses of repr()."""
        return f"tb_writer={self.writer is not None},\nconfig={self.config}"

    def __repr__(self):
        lines = self.extra_repr().strip().replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {lines}\n)"
