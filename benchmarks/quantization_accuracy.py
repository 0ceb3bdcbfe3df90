"""Accuracy of quantized networks on Fashion-MNIST: paired over seeds, measured by ONNX Runtime on all 10,000 images.

    .venv/bin/python benchmarks/quantization_accuracy.py [--network resnet20] [--seeds 0,1,2] [--device cpu] [--runs DIR]

Every seed trains one float network; everything else starts from it: another float epoch, quantization-aware training
for one epoch at several widths, post-training quantization, and ONNX Runtime's own post-training quantization. Runs
that are done are only read, so that training may happen on another machine (--train-only) and the table here.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
LEARN = {"name": "more", "epochs": 1, "precision": "bf16", "optimizer": {"sgd": {"lr": 0.02}}}
PTQ = {"mode": "ptq", "samples": 512}


def aware(**settings):
    return {**LEARN, "quantize": settings}


def post(**settings):
    return {"name": "more", "quantize": {**PTQ, **settings}}


# What follows the float network, as a stage of a recipe.
VARIANTS = {
    "W8A8 QAT": aware(),
    "float, one epoch more": LEARN,
    "W8A8 PTQ, min-max": post(),
    "W8A8 PTQ, MSE, equalized, biases": post(calibrator="mse", equalize=True, bias_correction="fast"),
    "W4A8 PTQ, nearest": post(weight_bits=4, weight_range="mse"),
    "W4A8 PTQ, AdaRound": post(weight_bits=4, rounding="adaround"),
    "W4A4 QAT, LSQ+": aware(weight_bits=4, activation_bits=4, observer="lsq_plus"),
    "W2A8 QAT, LSQ": aware(weight_bits=2, observer="lsq"),
}


def recipe(arguments, seed, model, stage, folder, teacher=None):
    """`teacher`: a network that the stage learns from as well."""
    taught = {"teacher": teacher} if teacher else {}
    return {
        "version": 1,
        "name": "accuracy",
        "seed": seed,
        "device": arguments.device,
        "threads": arguments.threads,
        "output": str(folder),
        "data": {"root": arguments.data, "augment": ["flip"], "limit": arguments.limit},
        "model": model,
        **taught,
        "stages": [{**stage, **({"distill": {}} if teacher else {})}],
        "deploy": {"engines": ["onnxruntime"], "seconds": 0},
    }


def run(arguments, seed, model, stage, folder, teacher=None):
    """The metric of the last model of a run, which is done now unless it was before."""
    if not (folder / "results.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = folder.parent / f"{folder.name}.yaml"
        file.write_text(json.dumps(recipe(arguments, seed, model, stage, folder, teacher), indent=2))
        print(f"{folder} ...", file=sys.stderr, flush=True)
        command = [arguments.program, "run", file, "--resume"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{file}: {done.stderr[-2000:]}")
    results = json.loads((folder / "results.json").read_text())
    return next(row["value"] for row in reversed(results["evaluations"]) if row["engine"] == "onnxruntime")


def training_images(root, preprocess, count):
    """`count` images spread over the training set, as the model's metadata says they go in."""
    import gzip

    import numpy as np

    with gzip.open(pathlib.Path(root) / "train-images-idx3-ubyte.gz") as file:
        raw = file.read()
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    chosen = images[np.linspace(0, len(images) - 1, count).astype(int)].astype(np.float32) / 255
    return (chosen - np.float32(preprocess["mean"][0])) / np.float32(preprocess["std"][0])


def peer(arguments, folder):
    """Accuracy of the float model after ONNX Runtime's static quantization (QDQ, min-max, by channel)."""
    import onnx
    from onnxruntime import quantization

    model = folder / "models/train.onnx"
    preprocess = {p.key: p.value for p in onnx.load(model).metadata_props}["mc.preprocess"]
    images = training_images(arguments.data, json.loads(preprocess), PTQ["samples"])

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.rows = iter(range(0, len(images), 32))

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {"input": images[row : row + 32]}

    prepared, output = folder / "prepared.onnx", folder / "peer.onnx"
    quantization.shape_inference.quant_pre_process(str(model), str(prepared))
    quantization.quantize_static(str(prepared), str(output), Reader(), per_channel=True)
    return evaluate(arguments, output)


def evaluate(arguments, model):
    command = [
        arguments.program,
        "evaluate",
        model,
        "--data",
        arguments.data,
        "--engine",
        "onnxruntime",
        "--json",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["value"]


def parser_of(description, epochs, runs, networks=None):
    """The options of benchmarks that train a network and go on from it."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="resnet20", choices=networks)
    parser.add_argument("--epochs", type=int, default=epochs, help="of the float network")
    parser.add_argument("--lr", type=float, default=0.4)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--variants", default="", help="only those whose name holds one of these, by commas")
    parser.add_argument("--limit", type=int, default=0, help="training samples; 0: all")
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "runs" / runs)
    parser.add_argument("--program", default=ROOT / "build/model-compression")
    return parser


def main():
    parser = parser_of(__doc__, 5, "accuracy")
    parser.add_argument("--train-only", action="store_true", help="no table, no peer")
    arguments = parser.parse_args()
    rows = {}
    for seed in map(int, arguments.seeds.split(",")):
        base = arguments.runs / f"{arguments.network}-{seed}"
        train = {
            "name": "train",
            "epochs": arguments.epochs,
            "precision": "bf16",
            "optimizer": {"sgd": {"lr": arguments.lr}},
        }
        value = run(arguments, seed, {"builtin": arguments.network}, train, base / "float")
        rows.setdefault("float", []).append(value)
        start = {"onnx": str(base / "float/stages/train.onnx")}
        for name, stage in VARIANTS.items():
            if not any(part in name for part in arguments.variants.split(",")):
                continue
            folder = base / "".join(c if c.isalnum() else "-" for c in name.lower())
            rows.setdefault(name, []).append(run(arguments, seed, start, stage, folder))
        if not arguments.train_only:
            rows.setdefault("W8A8 by ONNX Runtime's quantizer", []).append(peer(arguments, base / "float"))
    if arguments.train_only:
        return
    print(
        f"{arguments.network}, top-1 in % on ONNX Runtime; differences to the float network of the same seed"
    )
    for name, values in rows.items():
        drops = [100 * (value - first) for value, first in zip(values, rows["float"], strict=True)]
        spread = statistics.stdev(drops) if len(drops) > 1 else 0.0
        shown = " ".join(f"{100 * value:.2f}" for value in values)
        print(
            f"{name:34} {shown}  mean {100 * statistics.mean(values):.2f}  {statistics.mean(drops):+.2f} ± {spread:.2f}"
        )


if __name__ == "__main__":
    main()
