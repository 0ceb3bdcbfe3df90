"""The one error of the native core."""


class Error(RuntimeError, ValueError):
    """What is wrong, where and what to do, as the native core says it.

    A RuntimeError for those who handle PyTorch's errors, and a ValueError since most often an argument or
    a model is not what it must be.
    """
