"""Calls every function of the extension module with random arguments, mostly wrong ones.

Run by test_package_fuzz.py in a process of its own, since a mistake there would end the interpreter.
"""

import contextlib
import io
import re
import sys
from pathlib import Path

import model_compression as mc
import torch
from model_compression import _core
from package_networks import ConvNet

COUNTS = [-(2**70), -(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 8, 255, 2**31, 2**62, 2**70]
NUMBERS = [float("nan"), float("inf"), -1.0, -0.0, 0.0, 1e-45, 0.5, 1.0, 1e30]
TEXTS = [
    "",
    "a",
    "x",
    "conv1.weight",
    "fc.weight",
    "\0",
    "ä\udc80",
    "%s{}",
    "unstructured",
    "n_m",
    "block",
    "avg",
]
TEXTS += [
    "weight",
    "/nowhere/x.onnx",
    "{}",
    "[",
    '{"mode": "qat"}',
    '{"target": 3}',
    '{"weight_bits": 1e99}',
    "9" * 400,
]
COMMANDS = [
    ["--help"],
    ["inspect"],
    ["inspect", "/nowhere"],
    ["run", "--dry-run", "x"],
    [],
    ["quantize", "--bits", "99"],
]
ENGINES = [name for name, unavailable in _core.engines() if not unavailable]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.bool]
DTYPES += [torch.complex64, torch.uint8, torch.int32]
SHAPES = [
    (),
    (0,),
    (1,),
    (4,),
    (4, 128),
    (2, 1, 8, 8),
    (0, 1, 8, 8),
    (3, 0, 2),
    (8, 1, 3, 3),
    (1, 1, 1, 1, 1, 1),
]
DEVICES = [torch.device("cpu"), torch.device("meta"), torch.device("cuda", 7), "cpu", "nowhere"]


class Source:
    """Random values: of the kind that a signature asks for, or of any."""

    def __init__(self, seed: int, modules: list, files: list[bytes]):
        self.random = torch.Generator().manual_seed(seed)
        self.modules = modules
        self.files = files

    def below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.random))

    def of(self, values: list):
        return values[self.below(len(values))]

    def tensor(self) -> torch.Tensor:
        dtype, shape = self.of(DTYPES), self.of(SHAPES)
        tensor = torch.randint(0, 3, shape, generator=self.random).to(dtype)
        kind = self.below(12)
        if kind == 0:
            return tensor.to("meta")
        if kind == 1:
            return tensor.to_sparse() if shape else tensor
        if kind == 2 and dtype.is_floating_point:
            return (tensor.requires_grad_() * 2) if self.below(2) else tensor.requires_grad_()
        if kind == 3 and dtype.is_floating_point:
            return torch.full(shape, float("nan"), dtype=dtype)
        if kind == 4 and shape:
            return tensor.expand(3, *shape).transpose(0, -1)
        if kind == 5:
            return torch.nn.Parameter(tensor, dtype.is_floating_point)
        if kind == 6 and dtype is torch.float32:
            return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)
        if kind == 7:
            with torch.inference_mode():
                return tensor.clone()
        return tensor

    def anything(self, depth: int = 0):
        kind = self.below(11 if depth < 2 else 8)
        if kind == 0:
            return None
        if kind == 1:
            return self.of(COUNTS)
        if kind == 2:
            return self.of(NUMBERS)
        if kind == 3:
            return self.of(TEXTS)
        if kind == 4:
            return self.tensor()
        if kind == 5:
            return self.of([True, b"\x08\x07", object(), print, 1j, mc, range(3), self.of(self.files)])
        if kind == 6:
            return self.of(DEVICES)
        if kind == 7:
            return self.of(self.modules)
        values = [self.anything(depth + 1) for _ in range(self.below(4))]
        return self.of([values, tuple(values), {str(i): value for i, value in enumerate(values)}])

    def fitting(self, kind: str):
        """A value of the type that the signature names, where it is one of the common ones."""
        if "Sequence[tuple[str, str]]" in kind:
            roles = ["weight", "state", "constant", "mask", "statistic", "none"]
            return [(self.of(TEXTS), self.of(roles)) for _ in range(self.below(3))]
        if "Mapping[str, torch.Tensor]" in kind:
            return {self.of(TEXTS): self.tensor() for _ in range(self.below(3))}
        for name, make in [
            ("Sequence[torch.Tensor]", lambda: [self.tensor() for _ in range(self.below(4))]),
            ("Sequence[str]", lambda: self.of([*COMMANDS, TEXTS[:3]])),
            ("Sequence[", lambda: [self.of(COUNTS) for _ in range(self.below(4))]),
            ("torch.Tensor", self.tensor),
            ("SupportsInt", lambda: self.of(COUNTS)),
            ("SupportsFloat", lambda: self.of(NUMBERS)),
            ("GraphModule", lambda: self.of(self.modules)),
            ("bool", lambda: bool(self.below(2))),
            ("bytes", lambda: self.of(self.files)),
            ("device", lambda: DEVICES[self.below(3)]),
            ("str", lambda: self.of(TEXTS)),
        ]:
            if name in kind:
                return make()
        return self.anything()


def parameters(function) -> list[tuple[str, str, bool]]:
    """(name, type, by keyword only) from the signature in the documentation."""
    inside = re.search(r"\((.*)\) -> ", function.__doc__)[1]
    parts, depth, found, keyword = [""], 0, [], False
    for letter in inside:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    for part in map(str.strip, parts):
        if part == "*":
            keyword = True
        elif part and not part.startswith("self:"):
            name, _, kind = part.partition(": ")
            found.append((name, kind, keyword))
    return found


def call(source: Source, function, target) -> None:
    given, named = [], {}
    for name, kind, keyword in parameters(function):
        value = source.anything() if source.below(5) == 0 else source.fitting(kind)
        if keyword and "= " in kind and source.below(2):
            continue
        if keyword:
            named[name] = value
        else:
            given.append(value)
    if source.below(12) == 0:
        given = given[: source.below(len(given) + 1)] + [source.anything()] * source.below(2)
    shown = [repr(each)[:60] if not isinstance(each, torch.Tensor) else tuple(each.shape) for each in given]
    print(function.__name__, shown, list(named), file=sys.stderr, flush=True)
    if target is None:
        function(*given, **named)
    else:
        function(target, *given, **named)


def targets(modules: list) -> list[tuple]:
    """Every function, and every method with something to call it on."""
    found = []
    for name, value in sorted(vars(_core).items()):
        if isinstance(value, type):
            methods = [each for key, each in sorted(vars(value).items()) if not key.startswith("_")]
            owners = [each for each in modules if isinstance(each, value)] or [None, object()]
            found += [(each, owners) for each in methods if callable(each)]
        elif not name.startswith("_") and callable(value):
            found.append((value, [None]))
    return found


def main() -> None:
    seed, rounds = int(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(seed)
    network = mc.from_torch(ConvNet(), torch.randn(2, 1, 8, 8)).native
    onnx = network.to_bytes()
    modules = [network, _core.parse_module(onnx, torch.device("cpu"))]
    Path("network.onnx").write_bytes(onnx)
    modules += [_core.open_session("network.onnx", engine, 1, "f32", "cpu") for engine in ENGINES]
    modules.append(_core.memory_dataset(["x"], [([torch.zeros(4, 1, 8, 8)], torch.arange(4))]))
    modules.append(
        _core.callback_dataset(lambda indices: torch.zeros(2), 4, [("x", torch.float32, [2])], True)
    )
    for kind in filter(lambda each: isinstance(each, type), vars(_core).values()):
        with contextlib.suppress(TypeError):
            modules.append(kind.__new__(kind))  # holds nothing, if there is such an object
    files = [onnx, b"", b"\x08", onnx[: len(onnx) // 2], onnx[:100] + b"\xff" * 50 + onnx[150:]]
    source = Source(seed, modules, files)
    refused = done = 0
    for function, owners in targets(modules):
        for _ in range(rounds):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    call(source, function, source.of(owners))
                done += 1
            except Exception:  # noqa: BLE001  any that is an exception, and no end of the process
                refused += 1
    print(f"FUZZED refused {refused} done {done}")


if __name__ == "__main__":
    main()
