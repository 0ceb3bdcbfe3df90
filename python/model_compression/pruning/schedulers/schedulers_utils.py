"""From a configuration to the layers of a model that it prunes, with the arguments of each."""

import difflib
import logging
import re

from ... import _core
from ...utils import unknown_name

logger = logging.getLogger(__name__)


def _compile(pattern, where):
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(f"{where}: {pattern!r} is not a regular expression: {error}") from error


def _warn_if_unused(pattern, found, model, where):
    """A pattern that finds nothing may be meant for another model, so it is no error."""
    if not found:
        names = [name for name, _ in model.named_modules()]
        near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.5)
        hint = f"; the nearest is '{near[0]}'" if near else ""
        logger.warning("%s: '%s' matches no layer that it could be for%s", where, pattern, hint)


def _prunable_layers(model, config):
    """(name, module, arguments by its class) of the layers whose class is to be pruned."""
    return [
        (name, module, config.prune_layer_types[type(module).__name__])
        for name, module in model.named_modules()
        if type(module).__name__ in config.prune_layer_types
    ]


def parse_not_to_prune(model, config):
    """The names of the layers that stay dense, though their class is to be pruned."""
    if isinstance(config.not_to_prune, str):
        raise TypeError(f"not_to_prune is a list of patterns, not the string '{config.not_to_prune}'")
    layers = _prunable_layers(model, config)
    found = []
    for text in config.not_to_prune:
        pattern = _compile(text, "not_to_prune")
        matches = [name for name, _, _ in layers if pattern.search(name)]
        _warn_if_unused(text, matches, model, "not_to_prune")
        found += matches
    return found


def parse_explicit_prune(model, config):
    """{name: arguments} of the layers that are pruned in any case."""
    parsed = {}
    for text, kwargs in config.explicit_prune.items():
        pattern = _compile(text, "explicit_prune")
        parameter = (kwargs or {}).get("name", "weight")
        matches = [n for n, m in model.named_modules() if pattern.search(n) and hasattr(m, parameter)]
        _warn_if_unused(text, matches, model, "explicit_prune")
        for name in matches:
            parsed[name] = {**config.pruning_fn_default_kwargs, **(kwargs or {})}
    return parsed


def parse_sparsity_map(model, config):
    """{name: arguments} of the layers whose class is to be pruned. RuntimeError where two patterns find one."""
    patterns = [(_compile(text, "weight_sparsity_map"), text) for text in config.weight_sparsity_map]
    used = {text: False for _, text in patterns}
    parsed = {}
    for name, _, of_class in _prunable_layers(model, config):
        matches = [text for pattern, text in patterns if pattern.search(name)]
        if len(matches) > 1:
            raise RuntimeError(
                f"weight_sparsity_map: '{name}' is matched by each of {matches}; one may match it"
            )
        own = config.weight_sparsity_map[matches[0]] if matches else {}
        used.update(dict.fromkeys(matches, True))
        parsed[name] = {**config.pruning_fn_default_kwargs, **of_class, **own}
    for text, found in used.items():
        _warn_if_unused(text, found, model, "weight_sparsity_map")
    return parsed


def parse_model_for_uniform_pruning(model, config):
    """{name: arguments}, with the sparsities that the configuration says."""
    dense = set(parse_not_to_prune(model, config))
    parsed = {name: kwargs for name, kwargs in parse_sparsity_map(model, config).items() if name not in dense}
    return {**parsed, **parse_explicit_prune(model, config)}


def calc_er_k_target_sparsities(model, config):
    """{name: target sparsity} by Erdos-Renyi, of the layers that do not stay dense."""
    dense = set(parse_not_to_prune(model, config))
    dims = {
        name: list(getattr(module, kwargs.get("name", "weight")).shape)
        for name, module, kwargs in _prunable_layers(model, config)
        if name not in dense
    }
    if not dims:
        return {}
    target = config.pruning_fn_default_kwargs.get("target_sparsity")
    if target is None:
        raise ValueError(
            f"init_strategy '{config.init_strategy}' spreads target_sparsity, which is not given"
        )
    sparsities = _core.erdos_renyi(list(dims.values()), target, kernel=config.init_strategy == "erk")
    return {name: sparsity for name, sparsity in zip(dims, sparsities, strict=True) if sparsity > 0}


def parse_model_for_er_k_pruning(model, config):
    """{name: arguments}, with sparsities by Erdos-Renyi."""
    if config.weight_sparsity_map:
        logger.warning("weight_sparsity_map has no effect with init_strategy '%s'", config.init_strategy)
    sparsities = calc_er_k_target_sparsities(model, config)
    parsed = {
        name: {**config.pruning_fn_default_kwargs, **kwargs, "target_sparsity": sparsities[name]}
        for name, _, kwargs in _prunable_layers(model, config)
        if name in sparsities
    }
    return {**parsed, **parse_explicit_prune(model, config)}


INIT_STRAT = {
    "uniform": parse_model_for_uniform_pruning,
    "er": parse_model_for_er_k_pruning,
    "erk": parse_model_for_er_k_pruning,
}


def parse_model_for_pruning(model, config):
    """{name: arguments} of the layers of a model that a configuration prunes."""
    strategy = config.init_strategy
    if strategy not in INIT_STRAT:
        raise NotImplementedError(unknown_name("init_strategy", strategy, INIT_STRAT))
    return INIT_STRAT[strategy](model, config)
