"""Networks exported from PyTorch in the usual ways, trained and compressed by the built program."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")  # what torch.onnx.export needs

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MC_BUILD_DIR", ROOT / "build")) / "model-compression"
CLASSES = 4

pytestmark = [
    pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built"),
    pytest.mark.filterwarnings("ignore"),  # torch.onnx.export deprecates what people still use
]


class Network(torch.nn.Module):
    """One residual block between a first convolution and a classifier, batch norm behind each convolution."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(8)
        self.conv2 = torch.nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(8)
        self.conv3 = torch.nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn3 = torch.nn.BatchNorm2d(8)
        self.dropout = torch.nn.Dropout(0.1)
        self.classifier = torch.nn.Linear(8 * 4 * 4, CLASSES)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(x)))
        x = torch.relu(self.merge(x, y))
        x = torch.nn.functional.max_pool2d(x, 2)
        return self.classifier(self.dropout(torch.flatten(x, 1)))

    def merge(self, x, y):
        return x + self.bn3(self.conv3(y))


class NormalizedSum(Network):
    """The last batch norm stands behind the sum, where it cannot be folded into a convolution."""

    def merge(self, x, y):
        return self.bn3(x + self.conv3(y))


NAMES = {"input_names": ["image"], "output_names": ["logits"]}


def export_preserving(model, path):
    example = (torch.zeros(2, 1, 8, 8),)
    shapes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(
        model.train(),
        example,
        path,
        dynamo=True,
        optimize=False,
        dynamic_shapes=shapes,
        verbose=False,
        **NAMES,
    )


def export_folded(model, path):
    """As most people do: in eval() with the defaults, the batch of the example fixed in the file."""
    torch.onnx.export(model.eval(), (torch.zeros(2, 1, 8, 8),), path, dynamo=True, verbose=False, **NAMES)


def export_torchscript(model, path):
    torch.onnx.export(
        model.train(),
        (torch.zeros(2, 1, 8, 8),),
        path,
        dynamo=False,
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        **NAMES,
    )


EXPORTS = {"preserving": export_preserving, "folded": export_folded, "torchscript": export_torchscript}


def stripes(count, seed):
    """Noisy stripes; the class is their direction: rows, columns, and the two diagonals."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    y, x = np.mgrid[:8, :8]
    directions = np.stack([y, x, y + x, y - x])
    phases = random.integers(0, 4, (count, 1, 1))
    images = np.where((directions[labels] + phases) % 4 < 2, 1.0, -1.0) + random.normal(0, 0.5, (count, 8, 8))
    return {"image": images[:, None].astype(np.float32), "labels": labels.astype(np.int64)}


RECIPE = """
name: pytorch
threads: 1
data: {{format: npz, train: {data}/train.npz, test: {data}/test.npz}}
model: {{onnx: {model}}}
stages:
  - {{name: train, epochs: 2, batch_size: 32, optimizer: {{sgd: {{lr: 0.05}}}}}}
  - name: prune
    batch_size: 32
    optimizer: {{sgd: {{lr: 0.02}}}}
    prune: {{target_sparsity: 0.5, frequency: 2}}
  - {{name: quantize, batch_size: 32, optimizer: {{sgd: {{lr: 0.01}}}}, quantize: {{mode: qat}}}}
export: {{names: {{train: fp32, prune: pruned, quantize: int8}}}}
deploy: {{engines: [onnxruntime], seconds: 0}}
"""


def program(*arguments):
    command = [PROGRAM, *map(str, arguments), "--json"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


def compress(folder, data, network, export):
    """Exports the network to folder/model.onnx, runs the recipe in folder/out, and gives its results.json."""
    torch.manual_seed(0)
    model = network()
    for norm in (model.bn1, model.bn2, model.bn3):
        torch.nn.init.normal_(norm.bias, std=0.1)  # biases of zeros are dropped by the exporter
    export(model, folder / "model.onnx")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(data=data, model=folder / "model.onnx"))
    return program("run", recipe, "--output", folder / "out")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "train.npz", **stripes(512, 1))
    np.savez(folder / "test.npz", **stripes(200, 2))
    return folder


@pytest.fixture(scope="module", params=EXPORTS)
def run(request, tmp_path_factory, data):
    """The way of exporting, the folder, and the results of the finished run."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, compress(folder, data, Network, EXPORTS[request.param])


def logits(file, images):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def check_simulation(results):
    """The int8 file on ONNX Runtime computes what was simulated: its integers, and what training saw."""
    pairs = {pair["kind"]: pair for pair in results["comparisons"]}
    for kind in ("simulated", "trained"):
        assert pairs[kind]["reference"] == f"int8 ({kind})"
        assert pairs[kind]["outputs"][0]["snr_db"] > 30
        assert pairs[kind]["top1_agreement"] >= 0.99


def test_inspect_says_what_became_of_batch_norm(run):
    way, folder, _ = run
    inspection = program("inspect", folder / "model.onnx")
    notes = [note for note in inspection["notes"] if "no batch norm" in note]
    assert inspection["unsupported"] == []
    assert inspection["macs"] == 8 * 64 * 9 * (1 + 8 + 8) + 128 * CLASSES
    assert [layer["op"] for layer in inspection["layers"]] == ["Conv", "Conv", "Conv", "Gemm"]
    assert all(layer["prunable"] and layer["quantizable"] for layer in inspection["layers"])
    parameters = sum(parameter.numel() for parameter in Network().parameters())
    if way == "folded":
        assert "BatchNormalization" not in inspection["operators"]
        assert len(notes) == 1
        assert inspection["parameters"] == parameters - 3 * 8  # scale and shift became one bias
    else:
        assert inspection["operators"]["BatchNormalization"] == 3
        assert notes == []
        assert inspection["parameters"] == parameters


def test_every_stage_keeps_what_was_learnt(run):
    results = run[2]
    assert [stage["name"] for stage in results["stages"]] == ["train", "prune", "quantize"]
    assert [model["name"] for model in results["models"]] == ["fp32", "pruned", "int8"]
    for stage in results["stages"]:
        assert stage["metric"] > 0.8, stage  # chance is 0.25
    assert results["stages"][1]["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert results["stages"][2]["sparsity"] == pytest.approx(0.5, abs=0.01)


def test_every_layer_is_quantized(run):
    _, folder, results = run
    layers = [(layer["op"], layer["quantized"]) for layer in results["quantized_layers"]]
    assert layers == [("Conv", True), ("Conv", True), ("Conv", True), ("Gemm", True)]
    model = onnx.load(folder / "out" / "models" / "int8.onnx")
    onnx.checker.check_model(model, full_check=True)
    nodes = model.graph.node
    operators = {node.op_type for node in nodes}
    assert "QuantizeLinear" in operators
    assert not {"BatchNormalization", "Dropout", "FakeQuantize"} & operators
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {
        node.output[0]: constants[node.input[0]]
        for node in nodes
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    layers = [node for node in nodes if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 4
    for node in layers:
        assert weights[node.input[1]].data_type == onnx.TensorProto.INT8


def test_onnxruntime_agrees_with_the_results(run, data):
    _, folder, results = run
    samples = np.load(data / "test.npz")
    files = {model["name"]: folder / "out" / model["file"] for model in results["models"]}
    outputs = {name: logits(file, samples["image"]) for name, file in files.items()}
    assert [row["model"] for row in results["evaluations"]] == list(files)
    for row in results["evaluations"]:
        accuracy = (outputs[row["model"]].argmax(1) == samples["labels"]).mean()
        assert row["engine"] == "onnxruntime"
        assert row["samples"] == len(samples["labels"])
        assert row["value"] == pytest.approx(accuracy, abs=1e-9)
    pairs = [pair for pair in results["comparisons"] if pair["reference"] in outputs]
    assert [(pair["reference"], pair["other"]) for pair in pairs] == [("fp32", "pruned"), ("fp32", "int8")]
    for pair in pairs:
        reference, other = outputs[pair["reference"]], outputs[pair["other"]]
        mse = np.square(reference.astype(float) - other).mean()
        assert pair["outputs"][0]["mse"] == pytest.approx(mse, rel=1e-3)
        assert pair["top1_agreement"] == pytest.approx((reference.argmax(1) == other.argmax(1)).mean())


def test_the_int8_model_computes_what_was_simulated(run):
    check_simulation(run[2])


def test_batch_norm_that_stays_is_exported_for_inference(tmp_path, data):
    results = compress(tmp_path, data, NormalizedSum, export_torchscript)
    check_simulation(results)
    images = np.load(data / "test.npz")["image"]
    for row in results["models"]:
        file = tmp_path / "out" / row["file"]
        norms = [node for node in onnx.load(file).graph.node if node.op_type == "BatchNormalization"]
        assert len(norms) == 1
        together = logits(file, images)
        alone = logits(file, images[:1])
        np.testing.assert_allclose(alone, together[:1], rtol=1e-4, atol=1e-4)  # no statistics of the batch
