"""Forward passes in f32: ours (the engine torch) beside ONNX Runtime, in turns, on random data.

    .venv/bin/python benchmarks/forward.py [--network resnet50|bert6] [--batch N] [--seconds S]

The network is exported from PyTorch; `model-compression benchmark` measures both engines on the file.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import torch
from networks import NETWORKS, export

PROGRAM = pathlib.Path(__file__).parent.parent / "build/model-compression"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=NETWORKS, default="resnet50")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--program", default=PROGRAM)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    make, sample, _ = NETWORKS[arguments.network]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{arguments.network}.onnx"
        export(make(), sample(arguments.batch), path, training=False)
        command = [arguments.program, "benchmark", path, "--engine", "onnxruntime,torch"]
        command += ["--batch", str(arguments.batch), "--seconds", str(arguments.seconds), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    rows = {row["engine"]: row for row in json.loads(done.stdout)["rows"]}
    for engine, row in rows.items():
        print(f"{engine:12} {row['median_ms']:8.1f} ms, loaded in {row['load_ms']:.0f} ms")
    print(f"torch / onnxruntime {rows['torch']['median_ms'] / rows['onnxruntime']['median_ms']:.3f}")


if __name__ == "__main__":
    main()
