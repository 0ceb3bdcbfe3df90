"""The peers of pruning_accuracy.py in PyTorch, on our network: IntelLabs' model_compression_research and Torch-Pruning.

Both train as a stage of a recipe does (SGD with Nesterov momentum, one cycle, bfloat16, flips), from the weights of the
same trained network.
"""

import gzip
import json
import math
import pathlib

import numpy as np
import onnx
import torch
from torch import nn

BATCH = 128
WARMUP, START, FINAL = 0.25, 0.04, 0.001  # of the schedule one_cycle


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.bn2(self.conv2(y)) + shortcut)


class ResNet(nn.Module):
    """The builtin resnet8 and resnet20, with its names of parameters."""

    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inputs = 16
        for stage in range(3):
            outputs = 16 << stage
            layers = []
            for i in range(blocks):
                layers.append(Block(inputs, outputs, 2 if stage > 0 and i == 0 else 1))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def load_network(name, file):
    """The trained network that a run left as ONNX, in PyTorch."""
    network = ResNet({"resnet8": 1, "resnet20": 3}[name])
    stored = {t.name: onnx.numpy_helper.to_array(t).copy() for t in onnx.load(file).graph.initializer}
    state = network.state_dict()
    for key in state:
        if not key.endswith("num_batches_tracked"):
            state[key] = torch.from_numpy(stored[key])
    network.load_state_dict(state)
    return network


def read_images(root, split, preprocess):
    def read(kind, rank):
        with gzip.open(pathlib.Path(root) / f"{split}-{kind}-idx{rank}-ubyte.gz") as file:
            return np.frombuffer(file.read(), np.uint8, offset=4 + 4 * rank).copy()

    images = torch.from_numpy(read("images", 3).reshape(-1, 1, 28, 28)).float() / 255
    labels = torch.from_numpy(read("labels", 1)).long()
    return (images - preprocess["mean"][0]) / preprocess["std"][0], labels


class Data:
    def __init__(self, arguments, exported):
        preprocess = json.loads({p.key: p.value for p in onnx.load(exported).metadata_props}["mc.preprocess"])
        device = torch.device(arguments.device)
        self.train = [t.to(device) for t in read_images(arguments.data, "train", preprocess)]
        self.test = [t.to(device) for t in read_images(arguments.data, "t10k", preprocess)]
        if arguments.limit:
            self.train = [t[: arguments.limit] for t in self.train]


def accuracy(network, data):
    network.eval()
    images, labels = data.test
    hits = 0
    with torch.no_grad():
        for begin in range(0, len(images), 250):
            hits += (
                (network(images[begin : begin + 250]).argmax(1) == labels[begin : begin + 250]).sum().item()
            )
    return hits / len(images)


def rate(step, total):
    def anneal(begin, end, part):
        return end + (begin - end) / 2 * (1 + math.cos(math.pi * min(max(part, 0.0), 1.0)))

    top, last = max(0.0, WARMUP * total - 1), total - 1
    if step < top:
        return anneal(START, 1, step / top)
    return anneal(1, FINAL, (step - top) / (last - top)) if last > top else 1


def train(network, data, epochs, lr, seed, after_step=lambda: None):
    """One stage; `after_step` is called when the weights have moved."""
    images, labels = data.train
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    groups = [
        {"params": [p for p in network.parameters() if p.dim() > 1], "weight_decay": 5e-4},
        {"params": [p for p in network.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)
    batches = len(images) // BATCH
    for step in range(epochs * batches):
        if step % batches == 0:
            shuffled = torch.randperm(len(images), generator=order).to(images.device)
        network.train()
        chosen = shuffled[step % batches * BATCH :][:BATCH]
        batch = images[chosen]
        flips = (torch.rand(BATCH, generator=order) < 0.5).to(images.device)
        batch = torch.where(flips[:, None, None, None], batch.flip(3), batch)
        for group in optimizer.param_groups:
            group["lr"] = lr * rate(step, epochs * batches)
        with torch.autocast(images.device.type, torch.bfloat16):
            outputs = network(batch)
        loss = nn.functional.cross_entropy(outputs.float(), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after_step()


def sparsity(network):
    weights = [p for p in network.parameters() if p.dim() > 1]
    return sum((w == 0).sum().item() for w in weights) / sum(w.numel() for w in weights)


def reference_package(network, data, method, target, epochs, lr, seed):
    """IntelLabs' iterative scheduler at the same points of the stage as ours by default."""
    from model_compression_research import IterativePruningConfig, IterativePruningScheduler

    steps = epochs * (len(data.train[0]) // BATCH)
    config = IterativePruningConfig(
        pruning_fn=method,
        pruning_fn_default_kwargs={"target_sparsity": target},
        pruning_frequency=10,
        policy_begin_step=0,
        policy_end_step=int(0.6 * steps),
    )
    scheduler = IterativePruningScheduler(network, config)
    train(network, data, epochs, lr, seed, scheduler.step)
    scheduler.remove_pruning()
    return network


def torch_pruning(network, data, macs, epochs, lr, seed, round_to=None):
    """Torch-Pruning's group norm importance, all layers ranked together, in small steps until the MACs are reached;
    then trained."""
    import torch_pruning as tp

    example = data.test[0][:1]
    pruner = tp.pruner.BasePruner(
        network,
        example,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=0.9,
        max_pruning_ratio=0.9,
        iterative_steps=200,
        ignored_layers=[network.fc],
        round_to=round_to,
    )
    before, _ = tp.utils.count_ops_and_params(network, example)
    while tp.utils.count_ops_and_params(network, example)[0] > macs * before:
        if pruner.current_step >= pruner.iterative_steps:
            raise SystemExit("Torch-Pruning does not reach the MACs")
        pruner.step()
    train(network, data, epochs, lr, seed)
    return network


def export(network, file):
    """As ONNX with a free batch, batch norm folded by the engine."""
    network = network.eval().cpu()
    torch.onnx.export(
        network,
        (torch.zeros(2, 1, 28, 28),),
        str(file),
        input_names=["input"],
        dynamo=True,
        dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
        external_data=False,
    )
