"""Post-training quantization of ResNet-50 (224x224, random weights and samples): ours beside ONNX Runtime's and NNCF's.

    .venv/bin/python benchmarks/ptq.py [--samples 10,100] [--methods min_max,entropy] [--model FILE]
        [--peer-methods MinMax,Entropy,nncf] [--fixed-batch]

Each run is a process of its own; seconds are those of reading, calibrating and writing, peak memory that of the
process. Ours compares the two models on one sample afterwards, which counts for the memory only. The last lines say
how much more memory ours needs for the most samples than for the fewest: 1,000 should need no more than 10. The model
takes any batch unless told otherwise: ours then calibrates with 8 samples at a time, the peers with one. NNCF (on
OpenVINO) must be importable, from a folder in PYTHONPATH say; its own bias correction is left off.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

PROGRAM = pathlib.Path(__file__).parent.parent / "build/model-compression"


def measured(command):
    """stdout of a command, and its peak memory in MB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return text, usage.ru_maxrss / 1024


def ours(program, model, data, folder, method, samples):
    command = [program, "quantize", model, "--data", data, "-o", f"{folder}/ours.onnx", "--method", method]
    text, peak = measured(
        [*map(str, command), "--samples", str(samples), "--limit", "1", "--no-latency", "--json"]
    )
    return json.loads(text)["seconds"], peak


def peer(model, data, folder, method, samples):
    command = [sys.executable, __file__, "--child", method, "--samples", str(samples), "--model", model]
    text, peak = measured([*command, "--data", data, "--output", f"{folder}/peer.onnx"])
    return float(text.split()[-1]), peak


def quantize_with_peer(arguments):
    """In a process of its own: ONNX Runtime's static quantization, sample by sample."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self, images):
            self.images = iter(images)

        def get_next(self):
            image = next(self.images, None)
            return None if image is None else {"input": image[None]}

    images = np.load(arguments.data)["input"][: int(arguments.samples)]
    start = time.perf_counter()
    quantization.quantize_static(
        arguments.model,
        arguments.output,
        Reader(images),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        calibrate_method=quantization.CalibrationMethod[arguments.child],
    )
    print(time.perf_counter() - start)


def quantize_with_nncf(arguments):
    """In a process of its own: NNCF's quantization of OpenVINO's model, min-max, without bias correction."""
    import nncf
    import openvino

    images = np.load(arguments.data)["input"][: int(arguments.samples)]
    start = time.perf_counter()
    model = openvino.Core().read_model(arguments.model)
    quantized = nncf.quantize(
        model,
        nncf.Dataset([image[None] for image in images]),
        subset_size=len(images),
        advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
    )
    openvino.save_model(quantized, pathlib.Path(arguments.output).with_suffix(".xml"))
    print(time.perf_counter() - start)


def prepare(arguments):
    """In a process of its own, whose memory would count as that of the programs that it starts."""
    images = np.random.default_rng(0).standard_normal((int(arguments.samples), 3, 224, 224), np.float32)
    np.savez(arguments.data, input=images)
    if arguments.model:
        return
    import torch
    from networks import NETWORKS, export

    torch.manual_seed(0)
    make, _, _ = NETWORKS["resnet50"]
    any_batch = not arguments.fixed_batch
    inputs = torch.randn(2 if any_batch else 1, 3, 224, 224)
    export(make(), inputs, arguments.output, training=False, any_batch=any_batch)


CHILDREN = {"prepare": prepare, "nncf": quantize_with_nncf}


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", default="10,100")
    parser.add_argument("--methods", default="min_max,moving_average,percentile,entropy,mse")
    parser.add_argument("--peer-methods", default="MinMax", help="MinMax,Entropy,Percentile,nncf, or nothing")
    parser.add_argument("--model", help="an ONNX file with one input `input` of 3x224x224")
    parser.add_argument("--fixed-batch", action="store_true", help="a model that takes one sample at a time")
    parser.add_argument("--program", default=PROGRAM)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse()
    if arguments.child:
        CHILDREN.get(arguments.child, quantize_with_peer)(arguments)
        return
    counts = [int(count) for count in arguments.samples.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or f"{folder}/resnet50.onnx"
        data = f"{folder}/samples.npz"
        making = ["--child", "prepare", "--samples", str(max(counts)), "--data", data, "--output", model]
        subprocess.run([sys.executable, *sys.argv, *making], check=True)
        peaks = {}
        print(f"{'who':14}{'method':16}{'samples':>8}{'seconds':>9}{'peak MB':>9}")
        for count in counts:
            rows = [("ours", method) for method in arguments.methods.split(",") if method]
            for method in filter(None, arguments.peer_methods.split(",")):
                rows.append(("nncf", "nncf") if method == "nncf" else ("onnxruntime", method))
            for who, method in rows:
                if who == "ours":
                    seconds, peak = ours(arguments.program, model, data, folder, method, count)
                else:
                    seconds, peak = peer(model, data, folder, method, count)
                print(f"{who:14}{method:16}{count:8}{seconds:9.2f}{peak:9.0f}", flush=True)
                if who == "ours":
                    peaks.setdefault(method, []).append(peak)
        for method, values in peaks.items() if len(counts) > 1 else ():
            print(
                f"memory of {method}: {values[-1] / values[0]:.3f} x from {counts[0]} to {counts[-1]} samples"
            )


if __name__ == "__main__":
    main()
