"""Pruning and quantization as options of a training script, and from them the configurations they mean."""

import argparse
import json
import logging
import os

from .pruning import registry
from .pruning.schedulers import PruningConfig
from .quantization import Quantizer, QuantizerConfig
from .utils import did_you_mean

logger = logging.getLogger(__name__)


class ConcatenateStringAction(argparse.Action):
    """Stores several arguments as one text, with spaces between them."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, " ".join(values))


def add_pruning_arguments_to_parser(parser):
    """Adds --do_prune, --pruning_config and --pruning_override to an argparse parser, and gives it."""
    parser.add_argument("--do_prune", action="store_true", help="prune the model while it trains")
    parser.add_argument("--pruning_config", type=str, default="", help="JSON file of a pruning configuration")
    parser.add_argument(
        "--pruning_override",
        type=str,
        nargs="*",
        action=ConcatenateStringAction,
        default="",
        help="JSON of entries that replace those of the file",
    )
    return parser


def add_quantization_arguments_to_parser(parser):
    """Adds --do_quantization, --quantization_config and --quantization_override, and gives the parser."""
    parser.add_argument("--do_quantization", action="store_true", help="train with simulated quantization")
    parser.add_argument("--quantization_config", type=str, default=None, help="JSON file of a configuration")
    parser.add_argument(
        "--quantization_override",
        type=str,
        nargs="*",
        default="",
        help="entries that replace those of the file, as key:value or key:value1,value2",
    )
    return parser


def pruning_config_factory(config, *args, **kwargs):
    """The configuration of the scheduler that `config` names: a JSON file, a dictionary, or one that exists.

    Further arguments replace its entries, as in `Config.update`; one that exists is given back as it is.
    """
    if isinstance(config, PruningConfig):
        return config
    if isinstance(config, str | os.PathLike):
        with open(config, encoding="utf-8") as file:
            config = json.load(file)
    if not isinstance(config, dict):
        raise TypeError(f"a pruning configuration is a file or a dictionary, not {type(config).__name__}")
    if config.get("scheduler") is None:
        raise ValueError(
            f"the pruning configuration names no scheduler: {', '.join(registry.list_schedulers())}"
        )
    made = registry.get_config_class(config["scheduler"]).from_dict(config)
    made.update(*args, **kwargs)
    return made


def pruning_scheduler_factory(model, config, *args, **kwargs):
    """The scheduler that a configuration (of `pruning_config_factory`) names, at work on a model."""
    config = pruning_config_factory(config, *args, **kwargs)
    if config.scheduler is not None:
        return registry.get_scheduler_class(config.scheduler)(model, config)
    for scheduler in registry.SCHEDULERS.values():
        if scheduler.SCHEDULER_CONFIG is type(config):
            return scheduler(model, config)
    raise TypeError(f"no scheduler takes a {type(config).__name__}")


def quantization_config_factory(args):
    """The QuantizerConfig that parsed options mean. Values take the type of the entry that they replace."""
    path = args.quantization_config
    config = QuantizerConfig.from_json_file(path) if path else QuantizerConfig()
    for text in args.quantization_override or ():
        key, colon, value = text.partition(":")
        if not colon:
            raise ValueError(f"--quantization_override takes key:value, not '{text}'")
        if key not in QuantizerConfig.ATTRIBUTES:
            raise ValueError(
                f"--quantization_override: there is no '{key}'{did_you_mean(key, QuantizerConfig.ATTRIBUTES)}"
            )
        is_list = isinstance(QuantizerConfig.ATTRIBUTES[key], list)
        setattr(config, key, value.split(",") if is_list else int(value))
    return config


def convert_model_for_qat(model, config):
    """The model with its linear layers exchanged, in place, for ones that train quantized."""
    return Quantizer(model, config).quantize()


def quantized_model_class_factory(cls, config):
    """A subclass of a model's class that quantizes itself when it is made."""

    def __init__(self, *args, **kwargs):
        cls.__init__(self, *args, **kwargs)
        Quantizer(self, config).quantize()

    return type(f"Quantized{cls.__name__}", (cls,), {"__init__": __init__, "__module__": cls.__module__})


def quantization_model_or_class_factory(args, *, model=None, cls=None):
    """The model, or the class of models, quantized where the parsed options ask for it; else as it is."""
    if (model is None) == (cls is None):
        raise AttributeError("give either a model or a class of models")
    if not args.do_quantization:
        return cls if model is None else model
    config = quantization_config_factory(args)
    logger.info("quantizing by %s", config)
    if model is not None:
        return convert_model_for_qat(model, config)
    return quantized_model_class_factory(cls, config)
