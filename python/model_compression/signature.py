"""How a captured module is called: from arguments to the graph's inputs, from its outputs to what it returns."""

from typing import Any

import torch
from torch.utils import _pytree as pytree

from model_compression.errors import Error


def is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


class Signature:
    """The structure of the example's arguments, and of what the module returned for them."""

    def __init__(
        self, args: tuple, kwargs: dict[str, Any], names: list[str], output_spec, outputs: list[Any]
    ):
        """`names` are those of positional arguments, as far as they have some.

        `outputs` has one entry a leaf of the output: None for a tensor of the graph, else (constant,).
        """
        kwargs = without_none(kwargs)
        leaves, self._spec = pytree.tree_flatten((args, kwargs))
        self._keys = list(kwargs)
        self._count = len(args)
        self._names = names
        self._constants = [None if is_tensor(leaf) else (leaf,) for leaf in leaves]
        self._plain = not kwargs and len(leaves) == len(args) and all(map(is_tensor, args))
        self._output_spec = output_spec
        self._outputs = outputs
        self._single = output_spec.is_leaf() and outputs == [None]

    def inputs(self, args: tuple, kwargs: dict[str, Any]) -> tuple | list:
        """The graph's inputs. Raises Error when the arguments are not built as those of the capture."""
        if self._plain and not kwargs and len(args) == len(self._constants):
            return args
        args, kwargs = self._arrange(args, without_none(kwargs))
        unknown = [key for key in kwargs if key not in self._keys]
        missing = [key for key in self._keys if key not in kwargs]
        if unknown or missing:
            raise Error(
                f"the model was captured with the keyword arguments {self._keys} and is called with {list(kwargs)}; "
                "capture it again with arguments such as these"
            )
        leaves, spec = pytree.tree_flatten((args, {key: kwargs[key] for key in self._keys}))
        if spec != self._spec:
            raise Error(
                f"the model was captured with {self._describe(self._spec)} and is called with "
                f"{self._describe(spec)}; capture it again with arguments such as these"
            )
        tensors = []
        for place, (leaf, constant) in enumerate(zip(leaves, self._constants, strict=True)):
            if constant is None:
                tensors.append(leaf)
            elif is_tensor(leaf) or leaf != constant[0]:
                raise Error(
                    f"argument {place} was {constant[0]!r} when the model was captured and is part of its graph; "
                    f"it cannot be {leaf if not is_tensor(leaf) else 'a tensor'!r} now"
                )
        return tensors

    def _arrange(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """By position what was so at the capture, by name the others, however they are given now."""
        while len(args) < min(self._count, len(self._names)) and self._names[len(args)] in kwargs:
            args = (*args, kwargs.pop(self._names[len(args)]))
        while self._count < len(args) <= len(self._names) and self._names[len(args) - 1] not in kwargs:
            kwargs[self._names[len(args) - 1]] = args[-1]
            args = args[:-1]
        return args, kwargs

    def result(self, tensors: list[torch.Tensor]) -> Any:
        """What the module returns for these outputs of the graph."""
        if self._single:
            return tensors[0]
        remaining = iter(tensors)
        leaves = [next(remaining) if leaf is None else leaf[0] for leaf in self._outputs]
        return pytree.tree_unflatten(leaves, self._output_spec)

    # Structures are pickled as what they describe, filled with numbers: PyTorch's own warn when they are copied.

    def __getstate__(self) -> dict[str, Any]:
        specs = {key: _filled(self.__dict__[key]) for key in ("_spec", "_output_spec")}
        return {**self.__dict__, **specs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        specs = {key: pytree.tree_flatten(state[key])[1] for key in ("_spec", "_output_spec")}
        self.__dict__.update(state, **specs)

    @staticmethod
    def _describe(spec) -> str:
        args, kwargs = spec.children()
        return f"{args.num_children} positional and {kwargs.num_children} keyword arguments"


def _filled(spec) -> Any:
    return pytree.tree_unflatten(range(spec.num_leaves), spec)


def without_none(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if value is not None}
