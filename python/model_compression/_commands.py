"""The program's commands as functions: keyword arguments become options, the report comes back.

Which options there are is asked of the native program, so that nothing is listed here.
"""

import difflib
import functools
import json
import os
from collections.abc import Mapping
from contextlib import closing
from numbers import Integral, Real

from model_compression import _core
from model_compression.progress import listener
from model_compression.results import Report


@functools.cache
def descriptions() -> dict:
    """{command: {"summary", "arguments"}} of the native program."""
    return json.loads(_core.describe_commands())


def options_of(command: str) -> dict[str, dict]:
    """The options of a command by their Python names (`keep_float` for --keep-float)."""
    arguments = descriptions()[command]["arguments"]
    return {
        each["name"].replace("-", "_"): each
        for each in arguments
        if not each["positional"] and each["name"] != "json"
    }


def call(command: str, positional: list[str], options: dict, **details) -> Report:
    """Runs the command without printing. `details` go to the report."""
    words = [command, *(f"./{word}" if word.startswith("-") else word for word in positional)]
    words += words_of(command, options)
    with closing(listener()) as told:
        status, text, document = _core.call_command(words, told)
    return Report(json.loads(document), text=text, passed=status == 0, **details)


def words_of(command: str, options: dict) -> list[str]:
    """The options as the command line has them. None leaves an option out."""
    known, words = options_of(command), []
    for name, value in options.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            advice = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(known)}"
            raise TypeError(f"{command}() has no option '{name}'{advice}")
        if value is not None:
            words += _words_of_option(f"{command}(): {name}", known[name], value)
    return words


def _words_of_option(where: str, option: dict, value) -> list[str]:
    dashed = f"--{option['name']}"
    if option["flag"]:
        if not isinstance(value, bool):
            raise TypeError(f"{where} is True or False, not {value!r}")
        if value:
            return [dashed]
        return [f"--{option['off']}"] if option["off"] else []
    if isinstance(value, Mapping):  # {"layer3*": 0.25} is layer3*=0.25
        value = [f"{key}={_join(where, part)}" for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        if option["separator"]:
            return (
                [f"{dashed}={option['separator'].join(_word(where, each) for each in value)}"]
                if value
                else []
            )
        if not option["repeated"]:
            raise TypeError(f"{where} takes one value, not {value!r}")
        return [f"{dashed}={_word(where, each)}" for each in value]
    return [f"{dashed}={_word(where, value)}"]


def _join(where: str, part) -> str:
    """What stands behind the = of KEY=VALUE: a number or text, or sizes; anything else as JSON, which is YAML."""
    if isinstance(part, (list, tuple)) and all(isinstance(each, Real) for each in part):
        return ",".join(_word(where, each) for each in part)
    if part is None or isinstance(part, (bool, Mapping, list, tuple)):
        try:
            return json.dumps(part)
        except TypeError as error:
            raise TypeError(f"{where}: {error}") from None
    return _word(where, part)


def _word(where: str, value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Integral):  # NumPy's too
        return str(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    kind = type(value).__name__
    raise TypeError(f"{where} takes text, a number or a path, not {kind}: {value!r:.100}")


def file_name(where: str, value) -> str:
    """A path as text."""
    try:
        name = os.fspath(value)
    except TypeError:
        raise TypeError(f"{where} is a path, not {type(value).__name__}: {value!r:.100}") from None
    if isinstance(name, bytes):
        raise TypeError(f"{where} is a path as text, not bytes")
    if not name or "\0" in name:
        raise ValueError(f"{where}: {name!r} is no path")
    return name
