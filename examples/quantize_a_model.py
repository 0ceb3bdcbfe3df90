"""From arrays to a quantized model, all in Python: train a network on Fashion-MNIST by a recipe, quantize what
came out, see what that cost, and run it.

    python examples/quantize_a_model.py [FOLDER] [--data /usr/share/datasets/fashion-mnist] [--samples 8000]
"""

import argparse
import gzip
import json
from pathlib import Path

import model_compression as mc
import numpy as np
import onnx

CLASSES = [
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
]


def read_images(folder: Path, part: str) -> dict[str, np.ndarray]:
    """The images as bytes [N, 1, 28, 28] and their labels, from the files that MNIST's makers defined."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return {"image": pixels.reshape(-1, 1, 28, 28), "labels": labels}


def preprocessing(model: Path) -> dict:
    """What a model that `run` exported says about its input: mean and standard deviation by channel."""
    return json.loads({entry.key: entry.value for entry in onnx.load(model).metadata_props}["mc.preprocess"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/quantize_a_model"))
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--samples", type=int, default=8000, help="training images")
    arguments = parser.parse_args()
    train, test = read_images(arguments.data, "train"), read_images(arguments.data, "t10k")
    test = {name: array[:2000] for name, array in test.items()}  # views: nothing is copied

    # The recipe reads the arrays where they are.
    recipe = {
        "name": "quantize-a-model",
        "data": {"limit": arguments.samples},
        "model": {"builtin": "resnet8", "width": 0.5},
        "stages": [
            {
                "name": "train",
                "epochs": 1,
                "batch_size": 32,
                "optimizer": {"sgd": {"lr": 0.1}},
                "schedule": "one_cycle",
            }
        ],
        "deploy": {"engines": ["onnxruntime"], "seconds": 0},
    }
    mc.run(recipe, data={"train": train, "test": test}, output=arguments.folder)

    # Training samples calibrate, test samples compare. The normalization of the images is in the model.
    float_model, int8_model = arguments.folder / "models" / "train.onnx", arguments.folder / "int8.onnx"
    report = mc.quantize(
        float_model, int8_model, data={"train": train, "test": test}, samples=256, latency=False
    )
    print(report, "\n")
    metric = report["metric"]
    print(f"{metric['name']} {metric['before']:.4f} in float, {metric['after']:.4f} in int8")

    few = {name: array[:1000] for name, array in test.items()}
    print(mc.compare(float_model, int8_model, few), "\n")

    # Engines take arrays, tensors and whatever speaks DLPack.
    classify = mc.Engine(int8_model, outputs="numpy")
    how = preprocessing(int8_model)
    images = test["image"][:5] / np.float32(255)
    scores = classify((images - np.float32(how["mean"])) / np.float32(how["std"]))
    for label, found in zip(test["labels"], scores.argmax(1), strict=False):
        print(f"a {CLASSES[label]} looks like a {CLASSES[found]}")


if __name__ == "__main__":
    main()
