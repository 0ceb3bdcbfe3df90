"""Quantization-aware training of a PyTorch network in an ordinary loop, on Fashion-MNIST.

PYTHONPATH=python python examples/quantization_aware_training.py [--train-images N] [--test-images N]

The snippet is `qat_model = qat_version_model(model)`, training, `convert_fx(qat_model)` and saving; the rest is
what any program around it has. Exits with 0 only when the quantized network is as good as the float one.
"""

import argparse
import tempfile

import fashion_mnist
import model_compression as mc
import torch
from model_compression import convert_fx, qat_version_model
from torch import nn
from torch.utils.data import DataLoader


class Block(nn.Module):
    """Two convolutions around a residual sum."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def small_resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        Block(8, 16, 2),
        Block(16, 32, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def train(model: nn.Module, loader: DataLoader, epochs: int, lr: float) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * len(loader))
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            schedule.step()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train-images", type=int, default=60000)
    parser.add_argument("--test-images", type=int, default=10000)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    train_set = fashion_mnist.read("train", arguments.train_images)
    train_loader = DataLoader(train_set, batch_size=128, shuffle=True, drop_last=True)
    test_set = fashion_mnist.read("t10k", arguments.test_images)

    model = small_resnet()
    train(model, train_loader, epochs=2, lr=0.2)
    float_accuracy = fashion_mnist.accuracy(model, test_set)

    qat_model = qat_version_model(model)
    train(qat_model, train_loader, epochs=1, lr=0.02)
    quantized_model = convert_fx(qat_model)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(quantized_model.state_dict(), f"{folder}/quant.pth")
        mc.save_onnx(quantized_model, f"{folder}/quant.onnx")

        loaded = convert_fx(qat_version_model(small_resnet()))
        loaded.load_state_dict(torch.load(f"{folder}/quant.pth"))
        loaded_accuracy = fashion_mnist.accuracy(loaded, test_set)
        file_accuracy = fashion_mnist.accuracy(mc.load_onnx(f"{folder}/quant.onnx"), test_set)
    quantized_accuracy = fashion_mnist.accuracy(quantized_model, test_set)
    print(f"float {float_accuracy:.4f}, int8 {quantized_accuracy:.4f}, loaded {loaded_accuracy:.4f}")
    print(f"the file of int8, read back {file_accuracy:.4f}")
    as_good = float_accuracy > 0.7 and quantized_accuracy > float_accuracy - 0.02
    return 0 if as_good and loaded_accuracy == quantized_accuracy == file_accuracy else 1


if __name__ == "__main__":
    raise SystemExit(main())
