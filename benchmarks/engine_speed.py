"""How much faster a model is once quantized, per engine at batch 1: ours beside ONNX Runtime's own static quantization.

    .venv/bin/python benchmarks/engine_speed.py --model FILE.onnx --data DATA.npz [--engines onnxruntime,openvino]

Each engine's int8 model is made for it by `quantize --target`, with and without the choice by latency; the peer's QDQ
model (per channel, min-max, the same samples) runs on all. All files of an engine are timed in one interleaved run.
The last columns compare outputs with the float model's on that engine.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

PROGRAM = pathlib.Path(__file__).parent.parent / "build/model-compression"


def run(*arguments):
    return json.loads(
        subprocess.run([PROGRAM, *arguments, "--json"], stdout=subprocess.PIPE, check=True).stdout
    )


def quantize(arguments, target, output, *more):
    run("quantize", arguments.model, "-o", output, "--target", target, "--data", arguments.data, *more)


def quantize_with_peer(arguments, output):
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self, arrays, count):
            self.samples = ({name: array[i : i + 1] for name, array in arrays.items()} for i in range(count))

        def get_next(self):
            return next(self.samples, None)

    arrays = {name: array for name, array in np.load(arguments.data).items() if name != "labels"}
    count = min(arguments.samples, len(next(iter(arrays.values()))))
    with tempfile.TemporaryDirectory() as folder:
        prepared = f"{folder}/prepared.onnx"
        try:
            quantization.quant_pre_process(arguments.model, prepared)
        except TypeError as error:  # its symbolic inference fails on values without a type
            print(f"onnxruntime's symbolic shape inference: {error}", file=sys.stderr)
            quantization.quant_pre_process(arguments.model, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            output,
            Reader(arrays, count),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
        )


def rows_of(engine, files, arguments):
    timing = ["--engine", engine, "--batch", "1", "--seconds", arguments.seconds, "--data", arguments.data]
    rows = run("benchmark", *files.values(), *timing)["rows"]
    reference = rows[0]
    for who, row in zip(files, rows, strict=True):
        if row["skipped"]:
            yield who, row["skipped"]
            continue
        pair = run(
            "compare",
            reference["model"],
            row["model"],
            "--engine",
            engine,
            "--data",
            arguments.data,
            "--limit",
            "64",
        )["pairs"][0]
        cosine = min(output["cosine"] for output in pair["outputs"])
        snr = min(output["snr_db"] for output in pair["outputs"])
        gain = reference["median_ms"] / row["median_ms"]
        yield who, f"{row['median_ms']:10.3f} ms {gain:6.2f} x   cosine {cosine:.4f}   SNR {snr:5.1f} dB"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="an .npz of the model's inputs")
    parser.add_argument("--engines", default="onnxruntime,openvino")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--seconds", default="3", help="measuring time of each model")
    arguments = parser.parse_args()
    samples = ["--samples", str(arguments.samples)]
    with tempfile.TemporaryDirectory() as folder:
        quantize_with_peer(arguments, f"{folder}/peer.onnx")
        for engine in arguments.engines.split(","):
            files = {"float": arguments.model, "onnxruntime's": f"{folder}/peer.onnx"}
            for who, option in (("ours, all", "--no-latency"), ("ours", "--latency")):
                files[who] = f"{folder}/{engine}{option}.onnx"
                quantize(arguments, engine, files[who], option, *samples)
            for who, text in rows_of(engine, files, arguments):
                print(f"{engine:12} {who:14} {text}", flush=True)


if __name__ == "__main__":
    main()
