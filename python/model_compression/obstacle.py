"""Why a module cannot be captured: the operation, and the line of its author's code."""

import re
import traceback
from pathlib import Path

import torch

_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
_NO_FORM = re.compile(r"No (?:ONNX function found|decompositions registered) for [^\n]*?(aten[.:\w]+)")
_PLACE = re.compile(r'File "([^"]+)", line (\d+), in (\w+)\s*\n\s*([^\n]*)')


def obstacle(model: torch.nn.Module, error: Exception) -> str:
    """What PyTorch's exporter stumbled over, in one line that says what to change."""
    chain = _chain(error)
    text = "\n".join(str(each) for each in chain)
    missing = _NO_FORM.search(text)
    reason = f"the operator {missing[1]} has no ONNX form" if missing else _first_line(chain[-1])
    where = _raised_at(chain) or _translated_at(chain) or _written_at(text)
    return (
        f"{type(model).__name__} cannot be captured as a graph: {reason}{f' ({where})' if where else ''}; control "
        "flow and shapes must not depend on the values of tensors, and every operator needs an ONNX form"
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from, the first cause last."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    return chain


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def _raised_at(chain: list[BaseException]) -> str:
    """The innermost line on the way of an error that is no library's."""
    for error in reversed(chain):
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if _is_theirs(frame.filename):
                return f"{frame.filename}:{frame.lineno}, in {frame.name}: {frame.line}"
    return ""


def _translated_at(chain: list[BaseException]) -> str:
    """The line that made the node of the graph at which the exporter gave up; its frames hold the node."""
    for error in chain:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for value in frame.f_locals.values():
                if isinstance(value, torch.fx.Node) and value.stack_trace:
                    return _written_at(value.stack_trace)
    return ""


def _written_at(text: str) -> str:
    """The innermost such line of a stack that PyTorch wrote into its message."""
    for file, line, function, code in reversed(_PLACE.findall(text)):
        if _is_theirs(file):
            return f"{file}:{line}, in {function}: {code.strip()}"
    return ""


def _is_theirs(file: str) -> bool:
    library = file.startswith(_LIBRARIES) or "site-packages/onnx" in file or "/lib/python" in file
    return not library and Path(file).exists()
