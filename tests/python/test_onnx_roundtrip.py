"""Our ONNX reader and writer against the onnx package: what we write is what was read."""

import os
import pathlib
import resource
import struct
import subprocess

import numpy as np
import onnx
import onnx.parser
import pytest
from backend_cases import feeds, is_valid, node_cases, run, same
from onnx import TensorProto, helper, numpy_helper

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MC_BUILD_DIR", REPOSITORY / "build"))
TOOL = BUILD / "tests" / "onnx_roundtrip"


def convert(folder, jobs):
    """Runs (mode, in, out) jobs in one process; returns the lines of those that failed."""
    listing = folder / "jobs.txt"
    listing.write_text("".join(f"{mode}\t{source}\t{target}\n" for mode, source, target in jobs))
    done = subprocess.run([TOOL, listing], capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def plain(value):
    """A number as something that compares bit for bit (NaN equals itself)."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def tensor_content(tensor):
    if tensor.data_type == TensorProto.STRING:
        content = list(tensor.string_data)
    else:
        content = np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes()
    entries = [(entry.key, entry.value) for entry in tensor.metadata_props]
    return (tensor.name, tensor.data_type, list(tensor.dims), tensor.doc_string, entries, content)


def content(message):
    """What a message says: defaults left out, tensors by their elements."""
    if message.DESCRIPTOR.name == "TensorProto":
        return tensor_content(message)
    fields = {}
    for field, value in message.ListFields():
        if field.message_type is not None:
            fields[field.name] = [content(each) for each in value] if field.is_repeated else content(value)
        elif field.is_repeated:
            fields[field.name] = [plain(each) for each in value]
        elif plain(value) != plain(field.default_value):
            fields[field.name] = plain(value)
    return fields


def assert_same(before, after):
    assert content(before) == content(after)


@pytest.fixture(scope="module")
def node_models(tmp_path_factory):
    """The models of the backend node tests, as files before and after: {name: bytes before, bytes after}."""
    folder = tmp_path_factory.mktemp("node")
    models = {case.name: case.model.SerializeToString() for case in node_cases()}
    for name, before in models.items():
        (folder / f"{name}.onnx").write_bytes(before)
    jobs = [("onnx", folder / f"{name}.onnx", folder / f"{name}.out.onnx") for name in models]
    assert convert(folder, jobs) == []
    return folder, {name: (m, (folder / f"{name}.out.onnx").read_bytes()) for name, m in models.items()}


def test_every_node_case_survives(node_models):
    _, models = node_models
    assert len(models) > 1500
    for name, (before, after) in models.items():
        assert content(onnx.load_from_string(before)) == content(onnx.load_from_string(after)), name


def test_what_the_checker_accepts_it_still_accepts(node_models):
    _, models = node_models
    accepted = [name for name, (before, _) in models.items() if is_valid(before)]
    assert len(accepted) > 1500
    assert [name for name in accepted if not is_valid(models[name][1])] == []


def test_onnx_runtime_gives_the_same_outputs(node_models):
    """Bit for bit, but for what is random."""
    _, models = node_models
    compared = 0
    for case in node_cases():
        before, after = models[case.name]
        outputs = run(before, feeds(case))
        if outputs is None or any(
            word in case.name for word in ("bernoulli", "random", "dropout", "multinomial")
        ):
            continue
        assert same(outputs, run(after, feeds(case)), rtol=0, atol=0), case.name
        compared += 1
    assert compared > 1300


def test_node_cases_survive_as_text(node_models):
    folder, models = node_models
    jobs = [("through_text", folder / f"{name}.onnx", folder / f"{name}.text.onnx") for name in models]
    assert convert(folder, jobs) == []
    for name, (before, _) in models.items():
        after = onnx.load(folder / f"{name}.text.onnx")
        assert content(onnx.load_from_string(before)) == content(after), name


def model_around(tensors):
    first = helper.make_tensor_value_info(tensors[0].name, tensors[0].data_type, tensors[0].dims)
    graph = helper.make_graph([], "g", [], [first], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def typed_and_raw(data_type):
    """Two tensors of the same elements, one in the typed field and one raw."""
    numbers = np.array([0, 1, 1, 0, 1], dtype=helper.tensor_dtype_to_np_dtype(data_type))
    raw = numpy_helper.from_array(numbers, "raw")
    raw.data_type = data_type
    typed = helper.make_tensor("typed", data_type, [5], numbers.tolist())
    return typed, raw


NUMERIC = [
    number
    for number in TensorProto.DataType.values()
    if number not in (TensorProto.UNDEFINED, TensorProto.STRING) and number <= TensorProto.INT2
]


@pytest.mark.parametrize("data_type", NUMERIC, ids=lambda number: TensorProto.DataType.Name(number))
def test_typed_data_means_the_same_as_raw(tmp_path, data_type):
    typed, raw = typed_and_raw(data_type)
    assert not typed.HasField("raw_data") and raw.HasField("raw_data")
    before = model_around([typed, raw])
    onnx.save(before, tmp_path / "m.onnx")
    assert convert(tmp_path, [("onnx", tmp_path / "m.onnx", tmp_path / "out.onnx")]) == []
    after = onnx.load(tmp_path / "out.onnx")
    assert_same(before, after)
    assert after.graph.initializer[0].raw_data == after.graph.initializer[1].raw_data


def test_external_data_of_onnx_is_read_and_ours_is_read_by_onnx(tmp_path):
    rng = np.random.default_rng(0)
    tensors = [
        numpy_helper.from_array(rng.standard_normal((30, 40)).astype(np.float32), "a"),
        numpy_helper.from_array(rng.integers(-100, 100, (50,)), "b"),
    ]
    before = model_around(tensors)
    theirs = onnx.ModelProto()
    theirs.CopyFrom(before)
    onnx.save(
        theirs, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert convert(tmp_path, [("external", tmp_path / "m.onnx", tmp_path / "out.onnx")]) == []
    assert (tmp_path / "out.onnx.data").stat().st_size == 8192 + 50 * 8  # the second tensor on its own page
    onnx.checker.check_model(tmp_path / "out.onnx")
    after = onnx.load(tmp_path / "out.onnx")
    for tensor in after.graph.initializer:
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    assert_same(before, after)


TEXT = """
<
   ir_version: 10,
   opset_import: ["" : 21, "local" : 1],
   doc_string: "with \\"quotes\\" and \\\\",
   metadata_props: ["key": "value"]
>
agraph (float[N,3] X, bool C, float[] any_rank, seq(float[2]) s, optional(int64) o, map(string, float) m)
   => (float[N,4] Y, float Z)
   <float[N,4] H, float[3,4] W = {1,2,3,4,5,6,7.5,-8,9e-3,10,11,12}, int64[2] shape = {-1, 4}, int8[3] q = {-128, 0, 127},
    float16[2] half = {15360, 49152}, string[2] words = {"a", "b"}, uint64[1] big = {18446744073709551615}>
{
   [first] H = MatMul(X, W)
   ["name/with/slashes"] Y, "" = local.Twice <scale = 2.0, list: ints = [], mixed: floats = [1.5, inf, nan]>(H, "", X)
   Z = If(C) <then_branch = t () => (float r) { r = Constant <value = float {1}> () },
              else_branch = e () => (float r) { r = ReduceSum <keepdims = 0, t: tensor = int64[2] name {1,2}> (Y) }>
}
<domain: "local", opset_import: ["" : 21], doc_string: "a function">
Twice <scale, factor: float = 3.0> (h, unused, x) => (y, extra)
{
   [double] y = Mul(h, h)
   extra = LeakyRelu <alpha: float = @scale> (x)
}
"""


RELU = '<ir_version: 13, opset_import: ["" : 21]> g (float x) => (float y) { y = Relu(x) }'


def test_text_means_what_it_means_to_onnx(tmp_path):
    (tmp_path / "m.txt").write_text(TEXT)
    assert convert(tmp_path, [("from_text", tmp_path / "m.txt", tmp_path / "m.onnx")]) == []
    assert_same(onnx.parser.parse_model(TEXT), onnx.load(tmp_path / "m.onnx"))


def test_onnx_reads_the_text_we_print(tmp_path):
    (tmp_path / "m.txt").write_text(TEXT)
    jobs = [
        ("from_text", tmp_path / "m.txt", tmp_path / "m.onnx"),
        ("to_text", tmp_path / "m.onnx", tmp_path / "printed.txt"),
    ]
    assert convert(tmp_path, jobs) == []
    printed = (tmp_path / "printed.txt").read_text()
    assert_same(onnx.parser.parse_model(TEXT), onnx.parser.parse_model(printed))


def add_notes(message, where):
    message.doc_string = f"doc of {where}"
    message.metadata_props.add(key=f"key of {where}", value="\u00e9\n")


def test_names_notes_symbols_domains_and_functions_are_kept(tmp_path):
    before = onnx.parser.parse_model(TEXT)
    before.producer_name, before.producer_version, before.domain, before.model_version = "p", "1.2", "d", 7
    before.opset_import.add(domain="com.example", version=3)
    custom = before.graph.node.add(op_type="Mystery", domain="com.example", overload="fast", name="mystery")
    custom.input.extend(["X", "", "W"])
    custom.output.extend(["strange", ""])
    for attribute in (
        {"level": 3},
        {"names": ["a", "b"]},
        {"table": numpy_helper.from_array(np.eye(2), "t")},
    ):
        custom.attribute.extend(
            [helper.make_attribute(k, v, doc_string=f"doc of {k}") for k, v in attribute.items()]
        )
    graph = before.graph
    messages = {
        "model": before,
        "graph": graph,
        "function": before.functions[0],
        "weight": graph.initializer[0],
    }
    messages |= {"input": graph.input[0], "output": graph.output[0], "value": graph.value_info[0]}
    messages |= {f"node {i}": node for i, node in enumerate(graph.node)}
    for where, message in messages.items():
        add_notes(message, where)
    graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    onnx.save(before, tmp_path / "m.onnx")
    assert convert(tmp_path, [("onnx", tmp_path / "m.onnx", tmp_path / "out.onnx")]) == []
    after = onnx.load(tmp_path / "out.onnx")
    assert_same(before, after)
    assert after.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_models_over_2_gb_go_in_and_out_without_that_much_memory(tmp_path):
    """The weights are holes in a file but for some numbers; anonymous memory is capped while they pass."""
    marks = {0: 1.5, 299_999_999: -2.5, 550_000_000: 3.5, 599_999_999: 4.5}  # of 600 million floats
    names = ["a", "b"]
    with open(tmp_path / "weights.bin", "wb") as data:
        data.truncate(2_400_000_000)
        for position, number in marks.items():
            data.seek(4 * position)
            data.write(struct.pack("<f", number))
    weights = []
    for i, name in enumerate(names):
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[300, 1_000_000])
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in (
            ("location", "weights.bin"),
            ("offset", 1_200_000_000 * i),
            ("length", 1_200_000_000),
        ):
            tensor.external_data.add(key=key, value=str(text))
        weights.append(tensor)
    onnx.save(model_around(weights), tmp_path / "m.onnx")
    limit = (200 << 20, 200 << 20)
    listing = tmp_path / "jobs.txt"
    listing.write_text(f"onnx\t{tmp_path / 'm.onnx'}\t{tmp_path / 'out.onnx'}\n")
    done = subprocess.run(
        [TOOL, listing],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, limit),
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "out.onnx").stat().st_size < 10_000
    after = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    assert [(t.name, list(t.dims)) for t in after.graph.initializer] == [(n, [300, 1_000_000]) for n in names]
    for i, tensor in enumerate(after.graph.initializer):
        place = {entry.key: entry.value for entry in tensor.external_data}
        assert int(place["length"]) == 1_200_000_000 and int(place["offset"]) % 4096 == 0
        with open(tmp_path / place["location"], "rb") as data:
            for position, number in marks.items():
                if position // 300_000_000 == i:
                    data.seek(int(place["offset"]) + 4 * (position % 300_000_000))
                    assert struct.unpack("<f", data.read(4)) == (number,)
    for file in ("weights.bin", "out.onnx.data"):
        (tmp_path / file).unlink()


def test_fields_from_the_future_are_kept(tmp_path):
    before = onnx.parser.parse_model(RELU)
    future = b"\xa2\x7d\x03new"  # field 2004
    before.graph.node[0].MergeFromString(future)
    before.graph.input[0].type.tensor_type.shape.MergeFromString(future)
    before.graph.MergeFromString(future)
    before.MergeFromString(future)
    onnx.save(before, tmp_path / "m.onnx")
    assert convert(tmp_path, [("onnx", tmp_path / "m.onnx", tmp_path / "out.onnx")]) == []
    after = onnx.load(tmp_path / "out.onnx")
    assert before.SerializeToString().count(future) == after.SerializeToString().count(future) == 4
    assert after.graph.node[0].SerializeToString().endswith(future)
    assert after.graph.input[0].type.tensor_type.shape.SerializeToString() == future


def test_parts_that_no_room_looks_at_are_kept(tmp_path):
    before = onnx.parser.parse_model(RELU)
    before.training_info.add().algorithm.name = "sgd"
    before.configuration.add(name="two", num_devices=2, device=["cpu:0", "cpu:1"])
    device = before.graph.node[0].device_configurations.add(configuration_id="two", pipeline_stage=1)
    device.sharding_spec.add(tensor_name="x", device=[0, 1])
    before.graph.value_info.add(name="h").type.opaque_type.name = "handle"
    annotation = before.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="s")
    before.graph.sparse_initializer.add().CopyFrom(
        helper.make_sparse_tensor(
            helper.make_tensor("sp", TensorProto.FLOAT, [2], [1.0, 2.0]),
            helper.make_tensor("", TensorProto.INT64, [2], [0, 3]),
            [5],
        )
    )
    onnx.save(before, tmp_path / "m.onnx")
    assert convert(tmp_path, [("onnx", tmp_path / "m.onnx", tmp_path / "out.onnx")]) == []
    assert_same(before, onnx.load(tmp_path / "out.onnx"))
