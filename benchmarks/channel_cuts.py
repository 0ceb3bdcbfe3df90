"""Structured pruning of full-size networks: after random cuts of its channels the smaller network runs here and on ONNX
Runtime, and equals the masked one.

    .venv/bin/python benchmarks/channel_cuts.py [--cuts 200] [--networks resnet50,vit,...] [--folder DIR] [--size 64]

Widths and depths are those of the papers, with random weights; images are smaller than theirs, which changes no channel.
Networks with layer norm have channels that are normalized over: those cuts only have to run, as a masked channel still
counts in the norm. Needs build/tests/channel_cuts.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
import transformers
from networks import resnet50
from torch import nn

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests/python"))

from models.convolutional import InvertedResidual, Yolo, conv_norm


class DenseNet121(nn.Module):
    """Huang et al. 2017: every layer reads all before it."""

    def __init__(self, growth=32, depths=(6, 12, 24, 16), classes=1000):
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        channels = 64
        for index, depth in enumerate(depths):
            layers = nn.ModuleList()
            for _ in range(depth):
                bottleneck = nn.Conv2d(channels, 4 * growth, 1, bias=False)
                grown = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
                norms = nn.BatchNorm2d(channels), nn.BatchNorm2d(4 * growth)
                layers.append(nn.Sequential(norms[0], nn.ReLU(), bottleneck, norms[1], nn.ReLU(), grown))
                channels += growth
            self.blocks.append(layers)
            if index + 1 < len(depths):
                halved = nn.Conv2d(channels, channels // 2, 1, bias=False)
                self.transitions.append(nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), halved))
                channels //= 2
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.stem(x)
        for index, block in enumerate(self.blocks):
            for layer in block:
                x = torch.cat([x, layer(x)], 1)
            if index < len(self.transitions):
                x = nn.functional.avg_pool2d(self.transitions[index](x), 2)
        return self.classifier(torch.relu(self.norm(x)).mean((2, 3)))


# Howard et al. 2019, table 1: kernel, expanded channels, outputs, squeeze-and-excite, hard swish, stride.
MOBILENET_V3_LARGE = [
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
]


def mobilenet_v3(_):
    layers, inputs = [conv_norm(3, 16, 3, 2, activation=nn.Hardswish)], 16
    for kernel, expanded, outputs, squeeze, swish, stride in MOBILENET_V3_LARGE:
        activation = nn.Hardswish if swish else nn.ReLU
        ratio = expanded / inputs
        layers.append(
            InvertedResidual(inputs, outputs, ratio, kernel, stride, squeeze, activation, nn.Hardsigmoid)
        )
        inputs = outputs
    layers += [conv_norm(160, 960, 1, activation=nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(960, 1280), nn.Hardswish(), nn.Linear(1280, 1000))


class Logits(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x).logits


def vit(size):
    config = transformers.ViTConfig(image_size=size, num_labels=1000, attn_implementation="eager")
    return Logits(transformers.ViTForImageClassification(config))


def bert(_):
    config = transformers.BertConfig(num_labels=2, attn_implementation="eager")
    return Logits(transformers.BertForSequenceClassification(config))


def image(size):
    return torch.randn(2, 3, size, size)


def words(_):
    return torch.randint(30000, (2, 12))


NETWORKS = {
    "resnet50": (lambda _: resnet50(), image),
    "mobilenet_v3": (mobilenet_v3, image),
    "densenet121": (lambda _: DenseNet121(), image),
    "yolo": (lambda _: Yolo(classes=80), image),
    "vit": (vit, image),
    "bert": (bert, words),
}


def export(name, folder, size):
    build, sample = NETWORKS[name]
    torch.manual_seed(0)
    model = build(size).eval()
    # Equal tensors would be merged in the file, and norms that do nothing would hide mistakes.
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.dtype == torch.float32 and tensor.ndim == 1:
            tensor.data += torch.rand_like(tensor) * 0.2
    x = sample(size)
    file = folder / f"{name}.onnx"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(
        model,
        (x,),
        file,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["x"],
        dynamic_shapes=shapes,
    )
    np.savez(file.with_suffix(".npz"), x=x.numpy())
    return file


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "runs/channel_cuts")
    parser.add_argument("--size", type=int, default=64, help="of images, a multiple of 32")
    parser.add_argument("--program", default=ROOT / "build/tests/channel_cuts")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    (arguments.folder / "cut").mkdir(parents=True, exist_ok=True)
    print(
        f"{'network':14}{'parameters':>12}{'groups':>8}{'exact':>7}{'cuts':>6}{'worst':>10}{'engine':>10}{'s':>8}"
    )
    for name in arguments.networks.split(","):
        file = export(name, arguments.folder, arguments.size)
        start = time.time()
        command = [
            arguments.program,
            file,
            file.with_suffix(".npz"),
            arguments.cuts,
            1,
            arguments.folder / "cut",
        ]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{name}: {done.stderr[-2000:]}")
        result = json.loads(done.stdout)
        free = [group for group in result["groups"] if not group["obstacle"]]
        print(
            f"{name:14}{result['parameters'][0] / 1e6:10.1f} M{len(free):8}{sum(g['exact'] for g in free):7}"
            f"{result['cuts']:6}{result['worst']:10.1e}{result['worst_engine']:10.1e}{time.time() - start:8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
