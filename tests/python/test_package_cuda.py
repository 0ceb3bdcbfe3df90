"""The package on a GPU: the same as PyTorch there."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
mc = pytest.importorskip("model_compression", exc_type=ImportError)

from torch import nn

if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    ).cuda()


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return torch.randn(32, 3, 16, 16, device="cuda"), torch.randint(0, 10, (32,), device="cuda")


def train(model, batch, steps, after=lambda: None):
    """The losses of some steps on one batch."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after()
        losses.append(loss.item())
    return losses


def test_trains_as_pytorch_does(batch):
    reference = network()
    module = mc.from_torch(network(), (batch[0],))
    assert {parameter.device.type for parameter in module.parameters()} == {"cuda"}
    assert train(module, batch, 5) == pytest.approx(train(reference, batch, 5), rel=1e-2)
    outputs = [model.eval()(batch[0]) for model in (module, reference)]
    assert torch.allclose(*outputs, atol=2e-2, rtol=2e-2)


def test_autocast(batch):
    module = mc.from_torch(network(), (batch[0],)).train()
    with torch.autocast("cuda", torch.bfloat16):
        output = module(batch[0])
    assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_moves_between_devices(batch):
    module = mc.from_torch(network().cpu(), (batch[0].cpu(),)).eval()
    expected = module(batch[0].cpu())
    module.cuda()
    assert torch.allclose(module(batch[0]).cpu(), expected, atol=1e-2, rtol=1e-2)
    with pytest.raises((mc.Error, ValueError, TypeError, RuntimeError), match="cpu|CPU"):
        module(batch[0].cpu())
    assert torch.allclose(module.cpu()(batch[0].cpu()), expected, atol=1e-5)


def test_trains_quantized(batch):
    qat_model = mc.qat_version_model(network())
    losses = train(qat_model, batch, 20)
    assert losses[-1] < losses[0] - 0.2
    trained = qat_model.eval()(batch[0])
    converted = mc.convert_fx(qat_model)
    found = converted(batch[0].to(next(converted.parameters(), batch[0]).device))
    assert (found.argmax(1).cpu() == trained.argmax(1).cpu()).float().mean() > 0.9


def test_prunes_modules(batch):
    model = network()
    config = mc.IterativePruningConfig(
        pruning_fn="unstructured_magnitude",
        pruning_fn_default_kwargs={"target_sparsity": 0.9},
        pruning_frequency=1,
        begin_pruning_step=0,
        end_pruning_step=8,
        policy_end_step=8,
    )
    scheduler = mc.IterativePruningScheduler(model, config)
    train(model, batch, 12, scheduler.step)
    scheduler.remove_pruning()
    weight = model[3].weight
    assert weight.is_cuda
    assert (weight == 0).float().mean().item() == pytest.approx(0.9, abs=0.01)
