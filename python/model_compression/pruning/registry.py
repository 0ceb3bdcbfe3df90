"""Pruning schedulers by name, and for each the methods that it can prune with."""

from collections import defaultdict

from ..utils import unknown_name

SCHEDULERS: dict = {}
_METHODS: dict = defaultdict(dict)  # by scheduler, so that either may be registered first


def register_scheduler(name):
    """Class decorator: makes a PruningScheduler known by a name."""

    def register(scheduler):
        _METHODS[name].update(scheduler.PRUNING_FN_DICT)
        scheduler.PRUNING_FN_DICT = _METHODS[name]
        SCHEDULERS[name] = scheduler
        return scheduler

    return register


def register_method(*schedulers, name=None):
    """Class decorator: makes a PruningMethod known by a name to some schedulers."""

    def register(method):
        if name is None:
            raise AttributeError(f"{method.__name__} needs a name to be registered by")
        for scheduler in schedulers:
            _METHODS[scheduler][name] = method
        return method

    return register


def get_scheduler_class(name):
    """The scheduler of this name. KeyError with the nearest name when there is none."""
    if name not in SCHEDULERS:
        raise KeyError(unknown_name("pruning scheduler", name, SCHEDULERS))
    return SCHEDULERS[name]


def get_config_class(name):
    """The class of configurations that the scheduler of this name takes."""
    return get_scheduler_class(name).SCHEDULER_CONFIG


def find_method(scheduler, name):
    """The method of this name that a scheduler class can prune with. NotImplementedError when it has none."""
    methods = scheduler.PRUNING_FN_DICT
    if name not in methods:
        others = [
            other
            for other, each in SCHEDULERS.items()
            if each is not scheduler and name in each.PRUNING_FN_DICT
        ]
        hint = f"; the scheduler '{others[0]}' has it." if others else None
        raise NotImplementedError(
            unknown_name(f"pruning function of {scheduler.__name__}", name, methods, hint)
        )
    return methods[name]


def list_schedulers():
    """The names of all pruning schedulers."""
    return list(SCHEDULERS)


def list_methods():
    """The names of all pruning methods, sorted."""
    return sorted({name for scheduler in SCHEDULERS.values() for name in scheduler.PRUNING_FN_DICT})
