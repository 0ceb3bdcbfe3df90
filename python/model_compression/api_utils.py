"""The functions around training, under the module's name that IntelLabs' model_compression_research has."""

from . import distiller
from .command_line import (
    ConcatenateStringAction,
    add_pruning_arguments_to_parser,
    add_quantization_arguments_to_parser,
    convert_model_for_qat,
    pruning_config_factory,
    pruning_scheduler_factory,
    quantization_config_factory,
    quantization_model_or_class_factory,
    quantized_model_class_factory,
)
from .integrations import hf
from .integrations.hf import HFTeacherWrapper, hf_add_teacher_to_student, hf_remove_teacher_from_student
from .training import (
    get_linear_rewinding_schedule_with_warmup,
    get_tensor_sparsity_ratio,
    remove_pruning,
)

__all__ = [
    "ConcatenateStringAction",
    "HFTeacherWrapper",
    "HFTrainerPruningCallback",  # noqa: F822, of __getattr__
    "add_pruning_arguments_to_parser",
    "add_quantization_arguments_to_parser",
    "convert_model_for_qat",
    "distiller",
    "get_linear_rewinding_schedule_with_warmup",
    "get_tensor_sparsity_ratio",
    "hf_add_teacher_to_student",
    "hf_remove_teacher_from_student",
    "pruning_config_factory",
    "pruning_scheduler_factory",
    "quantization_config_factory",
    "quantization_model_or_class_factory",
    "quantized_model_class_factory",
    "remove_pruning",
]


def __getattr__(name):
    if name != "HFTrainerPruningCallback":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return hf.HFTrainerPruningCallback
