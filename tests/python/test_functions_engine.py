"""Engines called from Python: what PyTorch computes, on the caller's memory, from many threads."""

import threading

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
mc = pytest.importorskip("model_compression")

from function_models import classifier, samples, text_classifier
from onnx import TensorProto, helper
from test_functions_data import OnlyDlpack

ENGINES = [
    pytest.param(name, marks=pytest.mark.skipif(bool(reason), reason=reason or "there"))
    for name, reason in mc.available_engines().items()
]
everywhere = pytest.mark.parametrize("engine", ENGINES)


def expected(x):
    weights = {
        each.name: torch.tensor(onnx.numpy_helper.to_array(each)) for each in classifier().graph.initializer
    }
    h = torch.relu(torch.conv2d(torch.as_tensor(x), weights["conv.weight"], weights["conv.bias"], padding=1))
    h = torch.relu(torch.conv2d(h, weights["deep.weight"], weights["deep.bias"], padding=1))
    return torch.nn.functional.linear(h.mean((2, 3)), weights["head.weight"], weights["head.bias"])


def view_model(*shape):
    """y = x + x, z = x * x of any shape."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xyz"]
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Mul", ["x", "x"], ["z"])]
    graph = helper.make_graph(nodes, "two", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@everywhere
def test_computes_what_pytorch_computes_from_any_kind_of_array(engine):
    run = mc.Engine(classifier(), engine)
    x = samples(5)["x"]
    for form in (x, torch.from_numpy(x), OnlyDlpack(torch.from_numpy(x)), np.asfortranarray(x)):
        output = run(form)
        assert isinstance(output, torch.Tensor)
        assert torch.allclose(output, expected(x), atol=1e-4)
    assert torch.allclose(run(x=x), run({"x": x}))


@everywhere
def test_outputs_as_numpy_share_the_engines_memory(engine):
    x = samples(3)["x"]
    run = mc.Engine(classifier(), engine, outputs="numpy")
    first = run(x)
    assert isinstance(first, np.ndarray)
    assert not first.flags.owndata
    kept = first.copy()
    run(-x)
    assert np.array_equal(first, kept)  # the next run has memory of its own
    del run
    assert np.array_equal(first, kept)  # and so has the end of the engine


@everywhere
def test_several_outputs_are_a_tuple(engine):
    x = torch.randn(2, 3, generator=torch.manual_seed(0))
    y, z = mc.Engine(view_model("N", 3), engine)(x)
    assert torch.allclose(y, 2 * x)
    assert torch.allclose(z, x * x)


@everywhere
def test_contiguous_inputs_are_read_where_they_are(engine):
    """A session given the same memory sees what is written there between two runs."""
    run = mc.Engine(view_model(2, 3), engine)
    x = np.ones((2, 3), np.float32)
    tensors = run._in_order((x,), {})
    assert tensors[0].data_ptr() == x.ctypes.data
    assert float(run(x)[0].sum()) == 12
    x[:] = 2
    assert float(run(x)[0].sum()) == 24
    y = run(x)[0]
    assert torch.from_dlpack(y).data_ptr() == y.data_ptr() == y.numpy().ctypes.data


@pytest.mark.parametrize("engine, size", [("onnxruntime", "N"), ("openvino", 1 << 16)])
def test_outputs_are_not_copied(engine, size):
    """PyTorch allocates nothing for ONNX Runtime's outputs, and for OpenVINO's what it writes to."""
    if mc.available_engines()[engine]:
        pytest.skip(f"{engine} is not available")
    run, x = mc.Engine(view_model(size), engine), np.ones(1 << 16, np.float32)
    run(x)
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        outputs = run(x)
    allocated = sum(
        event.self_cpu_memory_usage for event in profile.events() if event.self_cpu_memory_usage > 0
    )
    assert allocated <= (0 if engine == "onnxruntime" else sum(each.nbytes for each in outputs))


@everywhere
def test_ports_and_precision(engine):
    run = mc.Engine(text_classifier(), engine)
    assert [(port.name, port.dtype) for port in run.inputs] == [
        ("input_ids", "int64"),
        ("attention_mask", "int64"),
    ]
    assert run.outputs[0].name == "y"
    assert run.precision == "f32"
    assert engine in repr(run) and "input_ids" in repr(run)


@everywhere
def test_threads_share_one_engine(engine):
    run, x = mc.Engine(classifier(), engine, threads=1), samples(2)["x"]
    wanted, wrong = expected(x), []

    def work():
        wrong.extend(1 for _ in range(20) if not torch.allclose(run(x), wanted, atol=1e-4))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@everywhere
def test_a_fixed_batch_takes_any_number(engine):
    x = samples(5)["x"]
    assert torch.allclose(mc.Engine(classifier(2), engine)(x), expected(x), atol=1e-4)


@everywhere
@pytest.mark.parametrize(
    "arrays, named, kind, says",
    [
        ((), {}, TypeError, "input 'x' is not given"),
        ((1, 2), {}, TypeError, "takes 1 inputs"),
        ((), {"z": 1}, TypeError, "no input 'z'"),
        ((samples()["x"],), {"x": samples()["x"]}, TypeError, "twice"),
        (("text",), {}, TypeError, "not str"),
        ((None,), {}, TypeError, "not NoneType"),
        ((np.array(["a"]),), {}, TypeError, "no numbers"),
        ((samples()["x"].astype(np.float64),), {}, mc.Error, "double"),
        ((samples()["x"][:, :2],), {}, mc.Error, "shape"),
        ((samples()["x"][0],), {}, mc.Error, "shape"),
        ((torch.zeros(1, 3, 8, 8).to_sparse(),), {}, TypeError, r"sparse.*to_dense"),
        ((torch.zeros(1, 3, 8, 8, device="meta"),), {}, TypeError, "no values"),
    ],
)
def test_wrong_inputs_are_errors(engine, arrays, named, kind, says):
    run = mc.Engine(classifier(), engine)
    with pytest.raises(kind, match=says):
        run(*arrays, **named)
    assert run(samples(1)["x"]).shape == (1, 4)


def test_wrong_engines_are_errors(tmp_path):
    with pytest.raises(mc.Error, match="onnxruntime"):
        mc.Engine(classifier(), "onnxruntim")
    with pytest.raises(mc.Error, match="f64"):
        mc.Engine(classifier(), precision="f64")
    with pytest.raises(mc.Error, match="threads"):
        mc.Engine(classifier(), threads=-1)
    with pytest.raises(mc.Error):
        mc.Engine(classifier(), "torch", device="cuda:77")
    with pytest.raises(ValueError, match="numpy"):
        mc.Engine(classifier(), outputs="jax")
    with pytest.raises(mc.Error, match="gone"):
        mc.Engine(tmp_path / "gone.onnx")
    for wrong in (None, 3, [], object()):
        with pytest.raises(TypeError):
            mc.Engine(wrong)
    with pytest.raises(TypeError):
        mc.Engine(classifier(), 7)
    with pytest.raises(TypeError):
        mc.Engine(classifier(), threads="two")


@everywhere
def test_a_closed_engine_says_so_and_its_outputs_stay(engine):
    x = samples(2)["x"]
    with mc.Engine(classifier(), engine) as run:
        output = run(x)
    assert torch.allclose(output, expected(x), atol=1e-4)
    for use in (lambda: run(x), lambda: run.precision):
        with pytest.raises(ValueError, match="closed"):
            use()
    run.close()


@everywhere
def test_two_engines_run_in_two_threads(engine):
    """Each result stands in the memory of its own run."""
    runs = [mc.Engine(classifier(), engine, threads=1), mc.Engine(view_model("N", 3), engine, threads=1)]
    given = [samples(3)["x"], np.arange(12, dtype=np.float32).reshape(4, 3)]
    wanted = [expected(given[0]), torch.from_numpy(given[1] * 2)]
    results = [[], []]
    start = threading.Barrier(2)

    def work(which):
        start.wait()
        for _ in range(30):
            output = runs[which](given[which])
            results[which].append(output if which == 0 else output[0])

    threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for which in range(2):
        assert len(results[which]) == 30
        assert all(torch.allclose(each, wanted[which], atol=1e-4) for each in results[which])


@everywhere
def test_outputs_do_not_stand_on_inputs(engine):
    """Even where the model only looks at its input in another shape."""
    value = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])]
    output = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [6])]
    shape = onnx.numpy_helper.from_array(np.array([6]), "shape")
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])], "g", value, output, [shape]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.ones((2, 3), np.float32)
    y = mc.Engine(model, engine)(x)
    x[:] = 2
    assert y.tolist() == [1] * 6


class Lying:
    """Has __dlpack__, but no tensor."""

    def __init__(self, answer):
        self.answer = answer

    def __dlpack__(self, **options):
        return self.answer

    def __dlpack_device__(self):
        return (1, 0)


@everywhere
def test_what_is_no_tensor_of_this_kind_is_an_error(engine):
    run = mc.Engine(classifier(), engine)
    x = samples(2)["x"]
    for wrong in (
        Lying(None),
        Lying(3),
        np.zeros(2, [("a", "f4"), ("b", "i4")]),
        np.array([object()]),
        x.astype(np.complex64),
        x.astype(np.float16),
        torch.from_numpy(x).bfloat16(),
        [[1.0, 2.0], [3.0]],
        {"image": x},
        np.datetime64("2020-01-01"),
    ):
        with pytest.raises((TypeError, ValueError)):  # mc.Error is a ValueError
            run(wrong)
    assert run(x).shape == (2, 4)


@everywhere
def test_no_samples_give_no_results(engine):
    run = mc.Engine(classifier(), engine)
    assert run(samples(2)["x"][:0]).shape == (0, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_on_a_gpu_are_brought_here():
    x = samples(2)["x"]
    for name, reason in mc.available_engines().items():
        if not reason:
            output = mc.Engine(classifier(), name)(torch.from_numpy(x).cuda())
            assert torch.allclose(output, expected(x), atol=1e-4)
