"""Accuracy of pruned networks on Fashion-MNIST: paired over seeds, with the speed of those that are cut.

    .venv/bin/python benchmarks/pruning_accuracy.py [--network resnet20] [--seeds 0,1,2] [--device cpu] [--runs DIR]
        [--packages DIR]

Every seed trains one float network; everything else starts from it and trains for the same epochs by the same settings:
the float network itself, masks, N:M masks, channels and residual blocks that go until a part of the multiply-accumulates
is left, with or without the float network as a teacher, int8 on top of them, and as peers IntelLabs'
model_compression_research and Torch-Pruning, where `--packages` holds them. Runs that are done are only read, so that
training may happen on another machine (--train-only) and the table here. Our networks are measured by ONNX Runtime on
all 10,000 images, the peers' by PyTorch.
"""

import json
import pathlib
import statistics
import subprocess
import sys

from quantization_accuracy import parser_of, run


def more(arguments, **methods):
    """A stage that trains on."""
    return {
        "name": "more",
        "epochs": arguments.more,
        "precision": "bf16",
        "optimizer": {"sgd": {"lr": arguments.more_lr}},
        **methods,
    }


BLOCKS = {"method": "blocks_output"}
BOTH = {"method": "channels_taylor", "blocks": "blocks_output", "cuts": 4, "end": 0.3, "round_to": 16}

# What follows the float network, as the key `prune` of a stage; those that are cut are quantized on top.
VARIANTS = {
    "float, trained on": None,
    "unstructured 90 %": {"method": "unstructured_magnitude", "target_sparsity": 0.9},
    "unstructured 95 %": {"method": "unstructured_magnitude", "target_sparsity": 0.95},
    "global 90 %": {"method": "global_unstructured_magnitude", "target_sparsity": 0.9},
    "global 95 %": {"method": "global_unstructured_magnitude", "target_sparsity": 0.95},
    "2:4": {"method": "n_m_magnitude", "n": 2, "m": 4, "keep_dense": ["conv1.weight"]},
    "L2 channels, half the MACs": {"method": "channels_l2", "macs": 0.5, "cuts": 8, "end": 0.3},
    "Taylor channels, half the MACs": {"method": "channels_taylor", "macs": 0.5, "cuts": 8, "end": 0.3},
    "blocks, half the MACs": {**BLOCKS, "macs": 0.5},
    "blocks, 40 % of the MACs": {**BLOCKS, "macs": 0.4},
    "blocks and channels, half the MACs": {**BOTH, "macs": 0.5},
    "blocks and channels, 40 % of the MACs": {**BOTH, "macs": 0.4},
    "blocks and channels, 30 % of the MACs": {**BOTH, "macs": 0.3},
}
# These once more with the float network as the teacher, in training and in int8.
TAUGHT = [name for name in VARIANTS if name.startswith("blocks")]

# Of IntelLabs' package: the method and its sparsity.
REFERENCE = {
    "reference package, 90 %": ("unstructured_magnitude", 0.9),
    "reference package, 95 %": ("unstructured_magnitude", 0.95),
}
TORCH_PRUNING = {"Torch-Pruning, half the MACs": {"macs": 0.5}}
CUT = "the MACs"  # in the names of the networks that are timed


def folder_of(base, name):
    return base / "".join(c if c.isalnum() else "-" for c in name.lower())


def wanted(arguments, name):
    return any(part in name for part in arguments.variants.split(","))


def variants(arguments):
    """Name, pruning, and whether the float network teaches, of those that were asked for."""
    every = [(name, prune, False) for name, prune in VARIANTS.items()]
    every += [(f"{name}, taught", VARIANTS[name], True) for name in TAUGHT]
    return [variant for variant in every if wanted(arguments, variant[0])]


def quantized(arguments, seed, start, folder, teacher):
    stage = {
        "name": "more",
        "epochs": 1,
        "precision": "bf16",
        "optimizer": {"sgd": {"lr": 0.02}},
        "quantize": {"mode": "qat"},
    }
    return run(arguments, seed, {"onnx": str(start / "stages/more.onnx")}, stage, folder, teacher)


def ours(arguments, seed, base, rows):
    start = {"onnx": str(base / "float/stages/train.onnx")}
    for name, prune, taught in variants(arguments):
        teacher = start if taught else None
        folder = folder_of(base, name)
        stage = more(arguments, **({"prune": prune} if prune else {}))
        rows.setdefault(name, []).append(run(arguments, seed, start, stage, folder, teacher))
        if CUT in name:
            top = f"{name}, int8"
            value = quantized(arguments, seed, folder, folder_of(base, top), teacher)
            rows.setdefault(top, []).append(value)


def peers(arguments, seed, base, rows):
    import pruning_peers as peer
    import torch

    data = None
    jobs = {name: (peer.reference_package, how) for name, how in REFERENCE.items()}
    jobs |= {name: (peer.torch_pruning, (how["macs"],)) for name, how in TORCH_PRUNING.items()}
    for name, (prune, how) in jobs.items():
        if not wanted(arguments, name):
            continue
        folder = folder_of(base, name)
        result = folder / "result.json"
        if not result.exists():
            folder.mkdir(parents=True, exist_ok=True)
            print(f"{folder} ...", file=sys.stderr, flush=True)
            data = data or peer.Data(arguments, base / "float/models/train.onnx")
            network = peer.load_network(arguments.network, base / "float/stages/train.onnx")
            network = network.to(arguments.device)
            before = peer.accuracy(network, data)
            network = prune(network, data, *how, arguments.more, arguments.more_lr, seed)
            document = {
                "start": before,
                "value": peer.accuracy(network, data),
                "sparsity": peer.sparsity(network),
            }
            torch.save(network.cpu(), folder / "network.pt")
            result.write_text(json.dumps(document))
        rows.setdefault(name, []).append(json.loads(result.read_text())["value"])


def files_to_time(arguments, base):
    """The models whose speed is compared, by name: ours as exported, Torch-Pruning's exported now."""
    files = {"float": base / "float/models/train.onnx"}
    for name, _, _ in variants(arguments):
        if CUT in name:
            files[name] = folder_of(base, name) / "models/more.onnx"
            files[f"{name}, int8"] = folder_of(base, f"{name}, int8") / "models/more.onnx"
    for name in TORCH_PRUNING:
        network = folder_of(base, name) / "network.pt"
        if not network.exists():
            continue
        import pruning_peers as peer
        import torch

        files[name] = network.with_suffix(".onnx")
        if not files[name].exists():
            peer.export(torch.load(network, weights_only=False), files[name])
    return {name: file for name, file in files.items() if file.exists()}


def latencies(arguments, files):
    """Median milliseconds of a batch on ONNX Runtime, the models taking turns."""
    command = [arguments.program, "benchmark", *files.values(), "--engine", "onnxruntime"]
    command += ["--batch", "32", "--seconds", "3", "--threads", arguments.threads, "--json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)["rows"]
    return dict(zip(files, (row["median_ms"] for row in rows), strict=True))


def macs_of(arguments, model):
    done = subprocess.run(
        [arguments.program, "inspect", model, "--json"], capture_output=True, text=True, check=True
    )
    document = json.loads(done.stdout)
    return document["macs"], document["parameters"]


def print_speed(arguments, base):
    files = files_to_time(arguments, base)
    measured = latencies(arguments, files)
    print("\nONNX Runtime, batch 32")
    for name, milliseconds in measured.items():
        macs, parameters = macs_of(arguments, files[name])
        print(
            f"{name:52} {milliseconds:8.3f} ms  {measured['float'] / milliseconds:5.2f} x  "
            f"{macs / 1e6:6.1f} M MACs  {parameters / 1e3:6.1f} k parameters"
        )


def print_accuracy(arguments, rows):
    print(f"{arguments.network}, top-1 in %; differences to the float network of the same seed")
    for name, values in rows.items():
        drops = [100 * (value - first) for value, first in zip(values, rows["float"], strict=True)]
        spread = statistics.stdev(drops) if len(drops) > 1 else 0.0
        shown = " ".join(f"{100 * value:.2f}" for value in values)
        mean = 100 * statistics.mean(values)
        print(f"{name:52} {shown}  mean {mean:.2f}  {statistics.mean(drops):+.2f} ± {spread:.2f}")


def main():
    parser = parser_of(__doc__, 10, "pruning", ["resnet8", "resnet20"])
    parser.add_argument("--more", type=int, default=3, help="epochs of everything that starts from it")
    parser.add_argument("--more-lr", type=float, default=0.1)
    parser.add_argument("--packages", type=pathlib.Path, help="folder with the peers' packages")
    parser.add_argument("--train-only", action="store_true", help="no table")
    arguments = parser.parse_args()
    rows, bases = {}, []
    if arguments.packages:
        sys.path.insert(0, str(arguments.packages))
    for seed in map(int, arguments.seeds.split(",")):
        base = arguments.runs / f"{arguments.network}-{seed}"
        bases.append(base)
        stage = more(arguments) | {"name": "train", "epochs": arguments.epochs}
        stage["optimizer"] = {"sgd": {"lr": arguments.lr}}
        value = run(arguments, seed, {"builtin": arguments.network}, stage, base / "float")
        rows.setdefault("float", []).append(value)
        ours(arguments, seed, base, rows)
        if arguments.packages:
            peers(arguments, seed, base, rows)
    if arguments.train_only:
        return
    print_accuracy(arguments, rows)
    print_speed(arguments, bases[0])


if __name__ == "__main__":
    main()
