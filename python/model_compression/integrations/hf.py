"""What works with transformers. Only the callback needs the library, so it is loaded when it is first asked for."""

from .hf_teacher import HFTeacherWrapper, hf_add_teacher_to_student, hf_remove_teacher_from_student

__all__ = [
    "HFTeacherWrapper",
    "HFTrainerPruningCallback",  # noqa: F822, of __getattr__
    "hf_add_teacher_to_student",
    "hf_remove_teacher_from_student",
]


class _NeedsTransformers:
    def __init__(self, *args, **kwargs):
        raise ImportError("HFTrainerPruningCallback needs transformers: pip install transformers")


def __getattr__(name):
    if name != "HFTrainerPruningCallback":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    try:
        from .hf_pruning import HFTrainerPruningCallback
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        return _NeedsTransformers
    return HFTrainerPruningCallback
