"""NVIDIA's own parser and builder take what `--target tensorrt` writes, and make integer kernels of it.

The builder compiles for a given GPU on a machine without one; what it made of each ONNX node stands in its log.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("transformers")
trt = pytest.importorskip(
    "tensorrt_rtx_bindings",
    reason="NVIDIA's builder is not installed; scripts/setup --dev brings it (requirements-dev.txt)",
)

from models import running
from models.cases import CASES
from models.export import WAYS

PROGRAM = Path(os.environ.get("MC_PROGRAM", running.BUILD / "model-compression"))
BATCH = 2
NETWORKS = ["mobilenet_v3", "unet", "vit", "bert"]
# The builder has no FP8 kernel for a ViT's cut into patches and computes it in float.
LEFT_FLOAT = {("vit", "float8"): {"node_conv2d"}}
PRODUCTS = {"correlation", "gemm", "deconv"}  # what the builder calls convolutions and matrix products

pytestmark = [
    pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built"),
    pytest.mark.filterwarnings("ignore"),  # torch.onnx.export deprecates what people still use
]


class Log(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.messages = []

    def log(self, severity, message):
        self.messages.append((severity, message))

    def errors(self):
        return [message for severity, message in self.messages if severity <= trt.ILogger.ERROR]


def build(path, shapes):
    """The engine's layers: (kind, types of what it reads, ONNX nodes that are part of it)."""
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    parsed = parser.parse_from_file(str(path))
    assert parsed, [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    profile = builder.create_optimization_profile()
    for name, shape in shapes.items():
        profile.set_shape(name, shape, shape, shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, log.errors()
    listing = next(message for _, message in log.messages if message.startswith("Layers:"))
    layers = []
    for line in listing.splitlines():
        kind = re.search(r"LayerType: (\w+)", line)
        if kind is None:
            continue
        read = re.split(r", (?:Constants|Outputs): ", line)[0]
        layers.append(
            (kind[1], re.findall(r"Datatype: (\w+)", read), re.findall(r"ONNX Layer: ([^\]]+)", line))
        )
    return layers


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, tmp_path_factory):
    case = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    sizes = {"batch": BATCH} | case.sizes
    generator = torch.Generator().manual_seed(0)
    example = tuple(spec.sample(sizes, generator) for spec in case.inputs.values())
    WAYS["folded"](case, case.build(), example, folder / "model.onnx")
    samples = [spec.sample(sizes | {"batch": 8}, generator).numpy() for spec in case.inputs.values()]
    np.savez(folder / "data.npz", **dict(zip(case.inputs, samples, strict=True)))
    return request.param, folder, {name: list(x.shape) for name, x in zip(case.inputs, example, strict=True)}


def quantize(folder, mode):
    output = folder / f"{mode}.onnx"
    arguments = [folder / "model.onnx", "-o", output, "--data", folder / "data.npz", "--mode", mode]
    command = [PROGRAM, "quantize", *arguments, "--target", "tensorrt", "--limit", "2", "--json"]
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    layers = json.loads(done.stdout)["layers"]
    return output, {layer["name"] for layer in layers if layer["quantized"]}


@pytest.mark.parametrize(("mode", "type"), [("ptq", "Int8"), ("float8", "FP8")])
def test_quantized_layers_are_narrow_kernels(network, mode, type):
    name, folder, shapes = network
    path, quantized = quantize(folder, mode)
    assert len(quantized) > 5
    left_float = LEFT_FLOAT.get((name, mode), set())
    found = set()
    for kind, types, nodes in build(path, shapes):
        own = quantized.intersection(nodes)
        if kind in PRODUCTS and own:
            found |= own
            assert set(types) == {"Float" if own & left_float else type}, (kind, types, nodes)
    assert found == quantized
