"""The Python package beside the native program, torch.ao and bare calls.

    PYTHONPATH=python .venv/bin/python benchmarks/python_module.py [--rounds N] [--parts step qat call import]

step: a training step of ResNet-18 through mc.from_torch, with torch.optim, against the native one of
bench_training_step, which is built first. qat: through qat_version_model, against torch.ao's FX mode. call:
what crossing into the core costs, as a graph of one Identity. import: beyond what torch's import takes.
"""

import argparse
import copy
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import model_compression as mc
import torch
from networks import NETWORKS, export
from torch import nn
from training_step import PROGRAM

BATCH = 32


def stepper(model, inputs, labels):
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(
        parameters, lr=1e-3, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=True
    )

    def step():
        start = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        return 1000 * (time.perf_counter() - start)

    return step


def in_turns(contenders, rounds):
    """Medians of milliseconds; every round runs each of them once, and the first two warm up."""
    times = {name: [] for name in contenders}
    for index in range(rounds + 2):
        for name, run in contenders.items():
            value = run()
            if index > 1:
                times[name].append(value)
    return {name: statistics.median(values) for name, values in times.items()}


def show(title, medians, name, peer, unit="ms"):
    for each, value in medians.items():
        print(f"{title}: {each:8} {value:9.3f} {unit}")
    print(f"{title}: {name} / {peer} {medians[name] / medians[peer]:.3f}", flush=True)


def measure_step(arguments):
    make, sample, classes = NETWORKS["resnet18"]
    model, inputs = make(), sample(BATCH)
    labels = torch.randint(classes, (BATCH,))
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        export(model, inputs, path, training=True)
        native = subprocess.Popen(
            [PROGRAM, path, str(arguments.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

        def native_step():
            native.stdin.write("float 1\n")
            native.stdin.flush()
            return float(native.stdout.readline())

        module = mc.from_torch(model, inputs)
        contenders = {"module": stepper(module, inputs, labels), "native": native_step}
        contenders["pytorch"] = stepper(model, inputs, labels)
        medians = in_turns(contenders, arguments.rounds)
        native.stdin.close()
        native.wait()
    show("step", medians, "module", "native")


def measure_qat(arguments):
    from torch.ao.quantization import get_default_qat_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_qat_fx

    make, sample, classes = NETWORKS["resnet18"]
    model, inputs = make().train(), sample(BATCH)
    labels = torch.randint(classes, (BATCH,))
    peer = prepare_qat_fx(copy.deepcopy(model), get_default_qat_qconfig_mapping("x86"), (inputs,))
    contenders = {
        "module": stepper(mc.qat_version_model(model), inputs, labels),
        "torch.ao": stepper(peer, inputs, labels),
    }
    show("qat", in_turns(contenders, arguments.rounds), "module", "torch.ao")


def measure_call(arguments):
    module = mc.from_torch(nn.Identity(), torch.zeros(2)).eval()
    bare, x = nn.Identity().eval(), torch.zeros(2)

    def timer(run):
        def measure(calls=20000):
            start = time.perf_counter()
            for _ in range(calls):
                run(x)
            return 1e6 * (time.perf_counter() - start) / calls

        return measure

    with torch.no_grad():
        medians = in_turns({"module": timer(module), "bare": timer(bare)}, arguments.rounds)
    show("call", medians, "module", "bare", "us")


def measure_import(arguments):
    code = "import time, torch; start = time.perf_counter(); import model_compression; "
    code += "print(1000 * (time.perf_counter() - start))"

    def run():
        return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)

    print(f"import: {in_turns({'ours': run}, min(arguments.rounds, 5))['ours']:.1f} ms beyond torch's")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = {"step": measure_step, "qat": measure_qat, "call": measure_call, "import": measure_import}
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", nargs="*", choices=parts, default=list(parts))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    for part in arguments.parts:
        parts[part](arguments)


if __name__ == "__main__":
    main()
