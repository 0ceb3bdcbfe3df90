"""Masks from beginning to end: networks that come pruned, and patterns of zeros on their way to an integer file."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
prune = pytest.importorskip("torch.nn.utils.prune")

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MC_BUILD_DIR", ROOT / "build")) / "model-compression"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")

KINDS = 4
WEIGHTS = ("conv1.weight", "conv2.weight", "head.weight")


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(4, 16, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        self.conv2 = torch.nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(16)
        self.head = torch.nn.Linear(16, KINDS)

    def forward(self, image):
        x = torch.relu(self.bn1(self.conv1(image)))
        x = torch.relu(self.bn2(self.conv2(x)) + x)
        return self.head(x.mean((2, 3)))

    def layers(self):
        return self.conv1, self.conv2, self.head


def export(model, path, optimize=False):
    torch.onnx.export(
        model.train(not optimize),
        (torch.zeros(2, 4, 6, 6),),
        path,
        dynamo=True,
        optimize=optimize,
        external_data=False,
        verbose=False,
        input_names=["image"],
    )


def program(*arguments, status=0):
    command = [PROGRAM, *map(str, arguments)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert result.returncode == status, result.stdout + result.stderr
    return result


def run(folder, recipe, *arguments):
    (folder / "recipe.yaml").write_text(recipe)
    result = program("run", folder / "recipe.yaml", "--output", folder / "out", "--json", *arguments)
    return json.loads(result.stdout), result.stderr


def weights(path):
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def integer_weights(path):
    """The int8 weights of convolutions and matrix products, behind their DequantizeLinear, outputs first."""
    model = onnx.load(path)
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    found = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        maker, turned = makers[node.input[1]], node.op_type == "MatMul"
        while maker.op_type == "Transpose":
            maker, turned = makers[maker.input[0]], not turned
        assert maker.op_type == "DequantizeLinear"
        value = values[maker.input[0]]
        assert value.dtype == np.int8 and not values[maker.input[2]].any()
        transposed = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
        found.append(value.T if turned or (node.op_type == "Gemm" and not transposed) else value)
    return found


def kept_of_each(weight, of):
    """How many are not zero of each `of` successive input channels."""
    rows = np.moveaxis(weight, 1, -1).reshape(-1, weight.shape[1] // of, of)
    return (rows != 0).sum(-1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four kinds of images, told apart by the channel that is bright."""
    random = np.random.default_rng(0)
    labels = random.integers(0, KINDS, 512)
    images = random.normal(0, 1, (512, 4, 6, 6)).astype(np.float32)
    images[np.arange(512), labels] += 0.7
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "train.npz", image=images[:384], labels=labels[:384])
    np.savez(folder / "test.npz", image=images[384:], labels=labels[384:])
    return folder


def head_of(data, model):
    return f"""
threads: 1
data: {{format: npz, train: {data}/train.npz, test: {data}/test.npz}}
model: {{onnx: {model}}}
deploy: {{engines: [onnxruntime], seconds: 0}}
"""


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A network under masks of torch.nn.utils.prune, and these masks."""
    torch.manual_seed(0)
    model = Network()
    for layer in model.layers():
        prune.l1_unstructured(layer, "weight", 0.5)
    folder = tmp_path_factory.mktemp("pruned")
    export(model, folder / "masks.onnx")
    export(model, folder / "folded.onnx", optimize=True)
    masks = dict(zip(WEIGHTS, (layer.weight_mask.numpy() != 0 for layer in model.layers()), strict=True))
    return folder, masks


def test_masks_of_pytorch_hold_in_every_stage(pruned, data, tmp_path):
    folder, masks = pruned
    recipe = (
        head_of(data, folder / "masks.onnx")
        + """
stages:
  - {name: train, epochs: 2, batch_size: 32, optimizer: {sgd: {lr: 0.05}}}
  - {name: further, batch_size: 32, optimizer: {sgd: {lr: 0.02}}, prune: {target_sparsity: 0.75, frequency: 2}}
"""
    )
    results, messages = run(tmp_path, recipe)
    assert "train like all others" not in messages
    start = weights(folder / "masks.onnx")
    trained, further = (weights(tmp_path / f"out/stages/{name}.onnx") for name in ("train", "further"))
    for name, mask in masks.items():
        assert np.array_equal(trained[name] != 0, mask), name
        assert not np.array_equal(trained[name], start[name + "_orig"] * mask), "it has trained"
        assert not (further[name] != 0)[~mask].any(), "what was pruned before stays so"
        assert (further[name] == 0).sum() == round(0.75 * mask.size)
    assert [round(stage["sparsity"], 2) for stage in results["stages"]] == [0.5, 0.75]
    assert results["stages"][1]["metric"] > 0.7  # chance is 0.25
    initializers = {t.name for t in onnx.load(tmp_path / "out/models/further.onnx").graph.initializer}
    assert not any("mask" in name or "orig" in name for name in initializers)


def test_a_target_below_what_is_pruned_is_refused(pruned, data, tmp_path):
    recipe = head_of(data, pruned[0] / "masks.onnx") + "stages: [{name: a, prune: {target_sparsity: 0.3}}]\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    message = program("run", tmp_path / "recipe.yaml", "--output", tmp_path / "out", status=2).stderr
    assert "is pruned already, to a sparsity of 0.5" in message


def test_zeros_without_masks_are_told_and_can_be_kept(pruned, data, tmp_path):
    folder = pruned[0]
    stage = "{name: train, epochs: 1, batch_size: 32, optimizer: {sgd: {lr: 0.05}}"
    zeros = {}
    for name, rest in (("free", "}"), ("locked", ", prune: {method: pattern_lock}}")):
        (tmp_path / name).mkdir()
        _, messages = run(
            tmp_path / name, head_of(data, folder / "folded.onnx") + f"stages: [{stage}{rest}]\n"
        )
        assert "50 % of its weights are zeros" in messages and "pattern_lock" in messages
        trained = weights(tmp_path / name / "out/stages/train.onnx")
        zeros[name] = [(w == 0).mean() for w in trained.values() if w.ndim > 1 and w.dtype == np.float32]
    assert len(zeros["locked"]) == 3 and zeros["locked"] == pytest.approx([0.5] * 3, abs=0.01)
    assert max(zeros["free"]) < 0.01


def test_commands_see_the_weights_behind_pytorch_masks(pruned, tmp_path):
    folder, masks = pruned
    document = json.loads(program("inspect", folder / "masks.onnx", "--json").stdout)
    assert [layer["weight"] for layer in document["layers"]] == list(WEIGHTS)
    assert all(layer["prunable"] and layer["quantizable"] for layer in document["layers"])
    assert [round(layer["sparsity"], 2) for layer in document["layers"]] == [0.5] * 3
    out = tmp_path / "out.onnx"
    arguments = ("--method", "magnitude", "--sparsity", 0.75, "--seconds", 0)
    program("prune", folder / "masks.onnx", "-o", out, *arguments)
    after = weights(out)
    for name, mask in masks.items():
        assert (after[name] == 0).sum() == round(0.75 * mask.size) and not (after[name] != 0)[~mask].any()
    assert not any("mask" in name for name in after)


def test_n_m_zeros_survive_training_in_integers(data, tmp_path):
    """2:4 by a stage, then QAT with batch norm folded in and a teacher beside it: counted in the int8 file."""
    torch.manual_seed(1)
    export(Network(), tmp_path / "net.onnx")
    recipe = (
        head_of(data, tmp_path / "net.onnx")
        + f"""
teacher: {{onnx: {tmp_path}/net.onnx, train: {{epochs: 2, batch_size: 32, optimizer: {{sgd: {{lr: 0.05}}}}}}}}
stages:
  - name: sparse
    epochs: 2
    batch_size: 32
    optimizer: {{sgd: {{lr: 0.05}}}}
    prune: {{method: n_m_magnitude, frequency: 2}}
    distill: {{}}
  - {{name: int8, epochs: 2, batch_size: 32, optimizer: {{sgd: {{lr: 0.02}}}}, quantize: {{mode: qat}}, distill: {{}}}}
"""
    )
    results, _ = run(tmp_path, recipe)
    models = {model["name"]: model for model in results["models"]}
    assert models["int8"]["sparsity"] == pytest.approx(0.5, abs=0.03)
    found = integer_weights(tmp_path / "out/models/int8.onnx")
    assert [w.shape[:2] for w in found] == [(16, 4), (16, 16), (4, 16)]
    for weight in found:
        kept = kept_of_each(weight, 4)
        assert kept.max() == 2, "2:4"
        assert kept.mean() > 1.7, "what was kept is not rounded away"
    floats = weights(tmp_path / "out/stages/sparse.onnx")
    for name, weight in zip(WEIGHTS, found, strict=True):
        assert not (weight != 0)[floats[name] == 0].any(), "the same zeros as before quantization"
    assert results["stages"][1]["metric"] > 0.7
    layers = json.loads(program("inspect", tmp_path / "out/stages/sparse.onnx", "--json").stdout)["layers"]
    assert [layer["pattern"] for layer in layers] == ["2:4"] * 3


@pytest.mark.parametrize("arguments", [[], ["--equalize"], ["--bias-correction", "fast"]])
def test_n_m_zeros_survive_quantization_after_training(data, tmp_path, arguments):
    torch.manual_seed(2)
    export(Network(), tmp_path / "net.onnx")
    sparse, out = tmp_path / "sparse.onnx", tmp_path / "int8.onnx"
    how = ("--method", "magnitude", "--sparsity", 0.5, "--structure", "2:4", "--seconds", 0)
    program("prune", tmp_path / "net.onnx", "-o", sparse, *how)
    options = ("--data", data / "train.npz", "--no-latency", *arguments)
    program("quantize", sparse, "-o", out, *options)
    found = integer_weights(out)
    assert len(found) == 3
    for weight in found:
        assert kept_of_each(weight, 4).max() == 2
    page = (tmp_path / "sparse.onnx.report.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "<script" not in page and "http" not in page
    for words in ("Sparsity by layer", "conv2.weight", "2:4", "sparse tensor cores", "Compressed by zstd"):
        assert words in page
