"""mc.Module under DistributedDataParallel, with two processes on the CPU."""

import copy

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("model_compression", exc_type=ImportError)

from package_networks import ConvNet, batches, train
from torch import nn


def work(rank, port, onnx, state, results):
    import model_compression as mc
    import torch.distributed

    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    module = mc.load_onnx(onnx).train()
    if rank == 0:
        module.load_state_dict(state)
    model = nn.parallel.DistributedDataParallel(module)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for images, labels in batches(3, size=8):
        half = slice(4 * rank, 4 * rank + 4)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[half]), labels[half]).backward()
        optimizer.step()
    results[rank] = {name: parameter.detach().numpy().copy() for name, parameter in module.named_parameters()}
    torch.distributed.destroy_process_group()


class Plain(nn.Module):
    """Without batch norm, whose statistics would differ between halves of a batch."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4 * 36, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))


def test_two_processes_train_as_one():
    import socket

    import model_compression as mc
    from torch import multiprocessing

    torch.manual_seed(0)
    model = Plain()
    module = mc.from_torch(model, torch.randn(2, 1, 8, 8))
    blank = mc.from_torch(Plain(), torch.randn(2, 1, 8, 8))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        results = manager.dict()
        arguments = (port, blank.native.to_bytes(), module.state_dict(), results)
        processes = [context.Process(target=work, args=(rank, *arguments)) for rank in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=120)
        assert [process.exitcode for process in processes] == [0, 0]
        first, second = results[0], results[1]

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for images, labels in batches(3, size=8):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(torch.from_numpy(first[name]), parameter.detach(), rtol=1e-4, atol=1e-5)
        assert (first[name] == second[name]).all()


def test_quantized_training_under_ddp(tmp_path):
    import model_compression as mc
    import torch.distributed

    torch.manual_seed(0)
    network = ConvNet()
    losses = []
    for distributed in (False, True):
        model = mc.qat_version_model(copy.deepcopy(network)).train()
        model(next(iter(batches(1, seed=4)))[0])
        if distributed:
            torch.distributed.init_process_group(
                "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
            )
            # What the network does not use, and the bias before batch norm, have no gradient.
            model = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
        losses.append(train(model, 4))
    torch.distributed.destroy_process_group()
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
