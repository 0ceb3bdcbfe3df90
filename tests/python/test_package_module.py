"""mc.Module and mc.from_torch against PyTorch itself."""

import copy
import io
import pickle
import threading
import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
mc = pytest.importorskip("model_compression", exc_type=ImportError)

from package_networks import ConvNet, TiedNet, batches, train
from torch import nn


def conv_net(seed=0, **options):
    torch.manual_seed(seed)
    return ConvNet(**options)


@pytest.fixture(scope="module")
def captured():
    """Capturing takes seconds: tests copy this one."""
    model = conv_net()
    return model, mc.from_torch(model, next(iter(batches(1)))[0])


@pytest.fixture
def pair(captured):
    return copy.deepcopy(captured[0]), copy.deepcopy(captured[1])


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=atol)


def test_names_are_the_modules_own(captured):
    model, module = captured
    assert set(module.state_dict()) == set(model.state_dict())
    assert {name for name, _ in module.named_parameters()} == {name for name, _ in model.named_parameters()}
    assert all(type(parameter) is nn.Parameter and parameter.is_leaf for parameter in module.parameters())
    assert module.scale.item() == 1.5
    assert module.conv1.weight.shape == (8, 1, 3, 3)


def test_outputs_gradients_and_statistics_are_pytorchs(pair):
    model, module = pair
    images, labels = next(iter(batches(1, size=5, seed=3)))
    for each in (model, module):
        each.train()
        each.zero_grad()
        nn.functional.cross_entropy(each(images), labels).backward()
    for (name, theirs), own in zip(
        model.named_parameters(), [dict(module.named_parameters())] * 99, strict=False
    ):
        if theirs.grad is None:
            assert own[name].grad is None
        else:
            close(own[name].grad, theirs.grad)
    for name, theirs in model.named_buffers():
        close(module.state_dict()[name], theirs)
    with torch.no_grad():
        close(module.eval()(images), model.eval()(images))
        close(module(images), model(images))  # the second run is folded


def test_training_goes_the_same_way(pair):
    model, module = pair
    theirs, own = train(model.train(), 12), train(module.train(), 12)
    assert own == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    assert own[-1] < own[0]
    for name, tensor in model.state_dict().items():
        close(module.state_dict()[name], tensor, atol=1e-3)


def test_write_back_gives_the_model_the_trained_weights(pair):
    model, module = pair
    train(module.train(), 5)
    module.write_back(model)
    images, _ = next(iter(batches(1, seed=5)))
    close(model.eval()(images), module.eval()(images))
    assert model.bn1.num_batches_tracked.item() == 5
    with pytest.raises(mc.Error, match="captured from it"):
        module.write_back(nn.Linear(2, 2, bias=False))


def test_any_batch_size(pair):
    model, module = pair
    for size in (1, 3, 16):
        images = torch.randn(size, 1, 8, 8)
        close(module.eval()(images), model.eval()(images))


def test_dropout_follows_the_mode_and_the_seed():
    model = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.5))
    module = mc.from_torch(model, torch.randn(1, 64))
    x = torch.randn(50, 64)
    module.train()
    torch.manual_seed(1)
    first, second = module(x), module(x)
    torch.manual_seed(1)
    again = module(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert 0.4 < (first == 0).float().mean().item() < 0.6
    close(module.eval()(x), model.eval()(x))


def test_a_mapping_is_keyword_arguments():
    torch.manual_seed(0)
    model = TiedNet().eval()
    batch = {"ids": torch.randint(0, 11, (4, 5)), "mask": torch.ones(4, 5)}
    close(mc.from_torch(model, batch)(**batch)["logits"], model(**batch)["logits"])


def test_tied_parameters_names_and_dictionaries():
    torch.manual_seed(0)
    model = TiedNet()
    ids, mask = torch.randint(0, 11, (4, 5)), torch.ones(4, 5)
    module = mc.from_torch(model, (ids,), {"mask": mask, "scale": 2.0})
    assert set(module.state_dict()) == set(model.state_dict())
    assert module.head.weight is module.table.weight
    assert len(list(module.parameters())) == len(list(model.parameters()))
    own = module(ids[:2], mask=mask[:2], scale=2.0)
    theirs = model(ids[:2], mask=mask[:2], scale=2.0)
    assert set(own) == {"logits", "hidden"}
    assert isinstance(own["hidden"], tuple)
    close(own["logits"], theirs["logits"])
    close(own["hidden"][1], theirs["hidden"][1])
    own["logits"].square().sum().backward()
    theirs["logits"].square().sum().backward()
    close(module.table.weight.grad, model.table.weight.grad)
    close(module(ids[:2], mask[:2], 2.0)["logits"], own["logits"])
    close(module(mask=mask[:2], ids=ids[:2], scale=2.0)["logits"], own["logits"])
    with pytest.raises(mc.Error, match="keyword arguments"):
        module(ids)
    with pytest.raises(mc.Error, match=r"was 2\.0 when the model was captured"):
        module(ids, mask=mask, scale=3.0)


def test_frozen_parameters_stay_frozen():
    model = conv_net()
    model.conv1.weight.requires_grad_(False)
    module = mc.from_torch(model, torch.randn(2, 1, 8, 8))
    assert not module.conv1.weight.requires_grad
    assert not copy.deepcopy(module).conv1.weight.requires_grad
    module(torch.randn(2, 1, 8, 8)).sum().backward()
    assert module.conv1.weight.grad is None
    assert module.conv2.weight.grad is not None


def test_capturing_leaves_the_model_alone():
    model = conv_net(dropout=0.5).eval()
    model.bn1.train()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(4)
    state = torch.random.get_rng_state()
    mc.from_torch(model, torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(state, torch.random.get_rng_state())
    assert not model.training
    assert model.bn1.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_state_dict_round_trip(pair):
    model, module = pair
    other = conv_net(seed=9)
    module.load_state_dict(other.state_dict())
    images, _ = next(iter(batches(1)))
    close(module.eval()(images), other.eval()(images))
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    model.load_state_dict(torch.load(buffer))
    close(model.eval()(images), other(images))
    with pytest.raises(RuntimeError, match="Missing key"):
        module.load_state_dict({})
    with pytest.raises(mc.Error, match="assign"):
        module.load_state_dict(other.state_dict(), assign=True)


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
@pytest.mark.filterwarnings("error")
def test_copies_are_equal_and_independent(pair, way):
    _, module = pair
    module.train()
    if way == "deepcopy":
        other = copy.deepcopy(module)
    elif way == "pickle":
        other = pickle.loads(pickle.dumps(module))
    else:
        buffer = io.BytesIO()
        torch.save(module, buffer)
        buffer.seek(0)
        other = torch.load(buffer, weights_only=False)
    images, _ = next(iter(batches(1)))
    assert other.training
    assert list(other.state_dict()) == list(module.state_dict())
    assert torch.equal(other(images), module(images))
    train(other, 2)
    assert not torch.equal(other.fc.weight, module.fc.weight)


def test_value_hooks_and_taps(pair):
    _, module = pair
    images, _ = next(iter(batches(1)))
    name = next(name for name in module.value_names() if "relu" in name)
    seen = []
    handle = module.register_value_hook(name, lambda _module, of, value: seen.append((of, value)))
    with module.tap(name) as values:
        module(images)
    assert torch.equal(values[name], seen[0][1])
    assert (values[name] >= 0).all()
    assert values[name].requires_grad
    handle.remove()
    module(images)
    assert len(seen) == 1
    with pytest.raises(mc.Error, match="no value 'nowhere'"):
        module.register_value_hook("nowhere", print)
    with pytest.raises(TypeError, match="callable"):
        module.register_value_hook(name, 3)


def test_masks_hold_and_are_saved(pair):
    _, module = pair
    mask = torch.rand(4, 128) > 0.5
    module.set_mask("fc.weight", mask)
    assert (module.fc.weight[~mask] == 0).all()
    train(module.train(), 2)
    module.apply_masks()
    assert (module.fc.weight[~mask] == 0).all()
    fresh = copy.deepcopy(pair[1])
    fresh.set_mask("fc.weight", None)
    assert "fc.weight.mask" not in fresh.state_dict()
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh.state_dict()["fc.weight.mask"], mask)
    with pytest.raises(mc.Error, match=r"did you mean|no parameter"):
        module.set_mask("fc.wight", mask)


def test_autocast_trains(pair):
    model, module = pair
    images, labels = next(iter(batches(1)))
    inside = next(name for name in module.value_names() if "linear" in name)
    with torch.autocast("cpu", dtype=torch.bfloat16), module.tap(inside) as values:
        output, theirs = module.train()(images), model.train()(images)
        loss = nn.functional.cross_entropy(output.float(), labels)
    assert values[inside].dtype == torch.bfloat16
    torch.testing.assert_close(output, theirs, rtol=0.05, atol=0.05)
    loss.backward()
    assert module.conv1.weight.grad.dtype == torch.float32


def test_other_element_types_are_refused(pair):
    _, module = pair
    for refuse in (module.half, module.double, lambda: module.to(torch.bfloat16), lambda: module.to("meta")):
        with pytest.raises(mc.Error):
            refuse()
    module.to("cpu").to(memory_format=torch.channels_last).share_memory().float()
    train(module.train(), 1)


def test_assignment_is_refused(pair):
    _, module = pair
    with pytest.raises(mc.Error, match="copy_"):
        module.fc.weight = nn.Parameter(torch.zeros(4, 128))
    with pytest.raises(mc.Error, match="copy_"):
        module.scale = nn.Parameter(torch.zeros(()))
    with pytest.raises(mc.Error, match="only the whole module"):
        module.fc(torch.zeros(1, 128))


def test_part_of_a_larger_module(pair):
    _, module = pair
    whole = nn.Sequential(module, nn.Linear(4, 2)).train()
    assert "0.conv1.weight" in whole.state_dict()
    images, _ = next(iter(batches(1)))
    whole(images).sum().backward()
    assert module.conv1.weight.grad is not None
    assert not whole.eval()[0].training
    with pytest.raises(mc.Error, match="element types"):
        whole.half()


def test_threads(pair):
    model, module = pair
    model.eval(), module.eval()
    batch_list = [images for images, _ in batches(4)]
    wrong = []

    def work(images):
        with torch.no_grad():
            expected = model(images)
        for _ in range(20):
            with torch.no_grad():
                if not torch.allclose(module(images), expected, atol=1e-4):
                    wrong.append(images)

    threads = [threading.Thread(target=work, args=(images,)) for images in batch_list]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_onnx_files(pair, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    _, module = pair
    mc.save_onnx(module.eval(), tmp_path / "m.onnx")
    images, _ = next(iter(batches(1)))
    loaded = mc.load_onnx(tmp_path / "m.onnx").eval()
    same = mc.load_onnx((tmp_path / "m.onnx").read_bytes()).eval()
    close(loaded(images), module(images))
    assert torch.equal(loaded(**{loaded.input_names[0]: images}), same(images))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    close(torch.from_numpy(session.run(None, {loaded.input_names[0]: images.numpy()})[0]), module(images))
    mc.save_onnx(module, tmp_path / "external.onnx", external_data=True)
    assert (tmp_path / "external.onnx.data").exists()


def test_bad_input(pair, tmp_path):
    _, module = pair
    images, _ = next(iter(batches(1)))
    with pytest.raises(mc.Error, match="takes"):
        module(images[:, :, :4])
    with pytest.raises(mc.Error, match="1 inputs"):
        mc.load_onnx(module.native.to_bytes())(images, images)
    with pytest.raises(TypeError, match="takes tensors"):
        module("images")
    with pytest.raises(TypeError, match="takes tensors"):
        module(None)
    with pytest.raises(mc.Error, match="is on meta and the model on cpu"):
        module(images.to("meta"))
    with pytest.raises(mc.Error, match="dense"):
        module(images.to_sparse())
    with pytest.raises(mc.Error, match=r"Double.*Float"):
        module(images.double())
    with pytest.raises(mc.Error, match="the model takes float"):
        module(images.long())
    with pytest.raises(mc.Error, match="cannot open"):
        mc.load_onnx(tmp_path / "none.onnx")
    with pytest.raises(mc.Error):
        mc.load_onnx(b"no model")
    with pytest.raises(TypeError):
        mc.load_onnx(3)
    with pytest.raises(TypeError, match="not made or copied"):
        type(module.native).__new__(type(module.native))
    with pytest.raises(TypeError, match="pickle"):
        copy.copy(module.native)
    with pytest.raises(TypeError):
        mc.save_onnx(nn.Linear(1, 1), tmp_path / "x.onnx")
    with pytest.raises(mc.Error, match="device"):
        mc.load_onnx(module.native.to_bytes(), device="meta")


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


class NoOnnxForm(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x)


@pytest.mark.parametrize(
    ("model", "line"), [(Branching(), "if x.sum() > 0"), (NoOnnxForm(), "linalg.eigvals")]
)
def test_what_cannot_be_captured_is_named(model, line):
    with pytest.raises(mc.Error, match="cannot be captured") as error:
        mc.from_torch(model, torch.randn(2, 3, 3))
    assert "test_package_module.py" in str(error.value)
    assert line in str(error.value)


def test_wrong_examples():
    model = conv_net()
    with pytest.raises(mc.Error, match="cannot be captured"):
        mc.from_torch(model, torch.randn(2, 3, 8, 8))
    with pytest.raises(mc.Error, match="do not fit"):
        mc.from_torch(model, (torch.randn(2, 1, 8, 8), torch.randn(2)))
    with pytest.raises(mc.Error, match="at least one tensor"):
        mc.from_torch(model, ())
    with pytest.raises(TypeError):
        mc.from_torch(print, torch.randn(2))
    with pytest.raises(mc.Error, match="no shape yet"):
        mc.from_torch(nn.LazyLinear(3), torch.randn(2, 2))


class Twice(nn.Module):
    """A layer and a batch norm that are called twice in a run."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        for _ in range(2):
            x = self.norm(torch.tanh(self.fc(x)))
        return x


def test_batch_norm_that_is_called_twice():
    torch.manual_seed(0)
    model, x = Twice().train(), torch.randn(6, 4)
    module = mc.from_torch(model, x)
    assert set(module.state_dict()) == set(model.state_dict())
    for _ in range(3):
        close(module(x), model(x))
    for name, tensor in model.state_dict().items():
        close(module.state_dict()[name], tensor)
    close(module.eval()(x), model.eval()(x))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("kind", "shape"), [(nn.Dropout1d, (4, 6, 5)), (nn.Dropout2d, (4, 6, 3, 3))])
def test_dropout_of_channels(kind, shape):
    model, x = nn.Sequential(nn.PReLU(), kind(0.4)).train(), torch.rand(shape) + 1
    module = mc.from_torch(model, x)
    close(module.eval()(x), model.eval()(x))
    y = module.train()(x)
    kept = y.flatten(2) != 0
    assert (kept.all(-1) | ~kept.any(-1)).all()
    assert kept.any()
    assert not kept.all()
    close(y[y != 0], (x / 0.6)[y != 0])
    assert not torch.equal(model.train()(x), x)  # its own forward is back


class OtherInEval(nn.Module):
    def forward(self, x):
        return 2 * x if self.training else x


def test_what_else_depends_on_the_mode_is_warned_of():
    with pytest.warns(UserWarning, match="something else in eval"):
        module = mc.from_torch(OtherInEval(), torch.randn(2, 3))
    assert torch.equal(module.train()(torch.ones(1, 3)), torch.full((1, 3), 2.0))


def test_other_threads_run_while_a_graph_does():
    images = torch.randn(8, 32, 128, 128)
    module = mc.from_torch(torch.nn.Conv2d(32, 64, 5, padding=2), images).eval()
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    begin = time.perf_counter()
    module(images)
    end = time.perf_counter()
    done.set()
    thread.join()
    quarter = (end - begin) / 4
    assert any(begin + quarter < at < end - quarter for at in ticks), "the GIL was held"
