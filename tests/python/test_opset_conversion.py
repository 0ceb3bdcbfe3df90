"""Opset conversion, held to ONNX Runtime (the same outputs before and after) and to ONNX's checker."""

import os
import pathlib
import subprocess

import numpy as np
import onnx
import pytest
from backend_cases import feeds, is_valid, node_cases, run, same
from old_opset_models import model, old_models, simple, value
from onnx import TensorProto, helper, numpy_helper

BUILD = pathlib.Path(os.environ.get("MC_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build"))
TOOL = BUILD / "tests" / "convert_opset"
NEWEST = onnx.defs.onnx_opset_version()
# The newest opset of which ONNX Runtime has all kernels: of later changes it lacks some, so that models
# load only in part.
NEWEST_RUN = 21
RANDOM = ("bernoulli", "random", "dropout", "multinomial")


def convert(folder, jobs):
    """jobs: (opset, name of IN.onnx, name of OUT.onnx). Returns {IN: why} of those refused."""
    listing = folder / "jobs.txt"
    listing.write_text("".join(f"{o}\t{folder / a}.onnx\t{folder / b}.onnx\n" for o, a, b in jobs))
    done = subprocess.run([TOOL, listing], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    refused = {}
    for line in done.stdout.splitlines():
        file, _, why = line.partition("\t")
        refused[pathlib.Path(file).stem] = why
    return refused


def convert_one(folder, before, opset):
    """The converted model, or the text of the refusal."""
    onnx.save(before, folder / "in.onnx")
    refused = convert(folder, [(opset, "in", "out")])
    return refused["in"] if refused else onnx.load(folder / "out.onnx")


def main_opset(proto):
    return next((i.version for i in proto.opset_import if i.domain in ("", "ai.onnx")), 0)


class Case:
    def __init__(self, name, proto, inputs):
        self.name = name
        self.bytes = proto.SerializeToString()
        self.opset = main_opset(proto)
        self.feeds = inputs
        self.valid = is_valid(self.bytes)
        self.outputs = run(self.bytes, inputs)


def backend():
    for case in node_cases():
        if any(word in case.name for word in RANDOM) or main_opset(case.model) < 7 or not case.data_sets:
            continue
        yield Case(case.name, case.model, feeds(case))


@pytest.fixture(scope="module")
def cases():
    old = [Case(f"old_{name}", *pair) for name, pair in old_models().items()]
    assert all(case.outputs is not None for case in old), [c.name for c in old if c.outputs is None]
    return old + list(backend())


def convert_all(folder, cases, opset):
    for case in cases:
        (folder / f"{case.name}.onnx").write_bytes(case.bytes)
    refused = convert(folder, [(opset, case.name, f"{case.name}.out") for case in cases])
    converted = {
        case.name: (folder / f"{case.name}.out.onnx").read_bytes()
        for case in cases
        if case.name not in refused
    }
    return converted, refused


def check_valid(converted, cases):
    """What the checker accepts it still accepts."""
    invalid = [c.name for c in cases if c.name in converted and c.valid and not is_valid(converted[c.name])]
    assert invalid == []


def check_all(converted, cases):
    """The outputs are the same too, wherever ONNX Runtime runs both; returns how many were compared."""
    check_valid(converted, cases)
    differ, compared = [], 0
    for case in cases:
        if case.name not in converted or case.outputs is None:
            continue
        outputs = run(converted[case.name], case.feeds)
        if outputs is None:
            continue
        compared += 1
        if not same(list(case.outputs), list(outputs)):
            differ.append(case.name)
    assert differ == []
    return compared


def test_the_table_has_every_change_of_every_operator():
    """By the schemas of the onnx package; what is older than opset 7 counts as of 7."""
    histories = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            histories.setdefault(schema.name, set()).add(max(7, schema.since_version))
    done = subprocess.run([TOOL, "--table"], capture_output=True, text=True, check=True)
    table = {line.split()[0]: [int(v) for v in line.split()[1:]] for line in done.stdout.splitlines()}
    assert table == {name: sorted(versions) for name, versions in histories.items()}
    assert list(table) == sorted(table)


def test_every_case_goes_up(cases, tmp_path):
    older = [case for case in cases if case.opset < NEWEST]
    converted, refused = convert_all(tmp_path, older, NEWEST)
    assert refused == {}
    check_valid(converted, older)
    assert all(main_opset(onnx.load_from_string(content)) == NEWEST for content in converted.values())


def test_outputs_stay_the_same_upwards(cases, tmp_path):
    older = [case for case in cases if case.opset < NEWEST_RUN]
    converted, refused = convert_all(tmp_path, older, NEWEST_RUN)
    assert refused == {}
    assert check_all(converted, older) > 600
    old = [case for case in older if case.name.startswith("old_")]
    assert check_all(converted, old) == len(old)


@pytest.mark.parametrize("opset, at_least", [(20, 450), (17, 500), (12, 300), (10, 250), (7, 150)])
def test_outputs_stay_the_same_downwards(cases, tmp_path, opset, at_least):
    newer = [case for case in cases if case.opset > opset]
    converted, refused = convert_all(tmp_path, newer, opset)
    assert all("node '" in why or "opset" in why for why in refused.values())
    assert check_all(converted, newer) > at_least


@pytest.mark.parametrize("opset", [7, 9, 11, 13])
def test_down_again_after_up(cases, tmp_path, opset):
    """What came from an old opset has a form there."""
    old = [case for case in cases if case.name.startswith("old_") and case.opset <= opset]
    up, refused = convert_all(tmp_path, old, NEWEST_RUN)
    assert refused == {}
    for case in old:
        (tmp_path / f"{case.name}.onnx").write_bytes(up[case.name])
    refused = convert(tmp_path, [(opset, case.name, f"{case.name}.out") for case in old])
    assert refused == {}
    back = {c.name: (tmp_path / f"{c.name}.out.onnx").read_bytes() for c in old}
    assert check_all(back, old) == len(back)


def test_all_refusals_come_at_once(tmp_path):
    nodes = [
        helper.make_node("Gelu", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="fine"),
        helper.make_node("LayerNormalization", ["b", "s"], ["y"], name="second"),
    ]
    x = np.ones((2, 3), np.float32)
    why = convert_one(tmp_path, model(20, nodes, {"x": x}, ["y"], {"s": np.ones(3, np.float32)}), 13)
    assert "'first' (Gelu)" in why and "'second' (LayerNormalization)" in why and "fine" not in why


@pytest.mark.parametrize("opset", [6, NEWEST + 1, -1])
def test_targets_that_nobody_knows_are_refused(tmp_path, opset):
    assert "7 to" in convert_one(tmp_path, simple("Relu", 13)[0], opset)


def test_unknown_operators_are_refused_by_name(tmp_path):
    built, _ = simple("Relu", 13)
    built.graph.node[0].op_type = "Rellu"
    assert "'Relu' (Rellu)" in convert_one(tmp_path, built, 15)


def test_operators_newer_than_their_opset_are_refused(tmp_path):
    built, _ = simple("Relu", 13)
    built.graph.node[0].op_type = "Gelu"
    assert "came with opset 20" in convert_one(tmp_path, built, 15)


def test_types_that_an_old_form_does_not_take_are_refused(tmp_path):
    built = model(13, [helper.make_node("Add", ["x", "x"], ["y"], name="add")], {}, [])
    built.graph.input.append(value("x", TensorProto.BFLOAT16, [2]))
    built.graph.output.append(value("y", TensorProto.BFLOAT16, [2]))
    assert "'add' (Add)" in convert_one(tmp_path, built, 12)


def test_the_rest_of_the_model_stays(tmp_path):
    built, _ = simple("Clip", 10, min=0.0)
    built.graph.node.append(
        helper.make_node("Mystery", ["y"], ["z"], name="mystery", domain="com.example", k=3)
    )
    built.opset_import.append(helper.make_opsetid("com.example", 3))
    built.graph.output[0].name = "z"
    built.doc_string = "doc"
    built.metadata_props.add(key="k", value="v")
    after = convert_one(tmp_path, built, 15)
    assert {(i.domain, i.version) for i in after.opset_import} == {("", 15), ("com.example", 3)}
    assert after.graph.node[-1] == built.graph.node[-1]
    assert (after.doc_string, after.metadata_props) == ("doc", built.metadata_props)
    assert [n.op_type for n in after.graph.node] == ["Constant", "Clip", "Mystery"]
    assert list(after.graph.value_info) == []


def test_constants_that_became_attributes_go(tmp_path):
    built, inputs = simple("Squeeze", 13, (1, 3, 1), constants={"axes": np.array([0], np.int64)})
    after = convert_one(tmp_path, built, 11)
    assert list(after.graph.initializer) == []
    assert helper.get_node_attr_value(after.graph.node[0], "axes") == [0]
    assert same(run(after.SerializeToString(), inputs), run(built.SerializeToString(), inputs))


def test_computed_inputs_that_became_attributes_are_refused(tmp_path):
    node = helper.make_node("Squeeze", ["x", "axes"], ["y"], name="squeeze")
    inputs = {"x": np.ones((1, 3), np.float32), "axes": np.array([0], np.int64)}
    assert "'squeeze' (Squeeze)" in convert_one(tmp_path, model(13, [node], inputs, ["y"]), 11)


def test_functions_are_converted_from_their_own_opsets(tmp_path):
    attribute = helper.make_node("ReduceMean", ["a"], ["b"], name="mean", keepdims=0)
    attribute.attribute.add(name="axes", ref_attr_name="over", type=onnx.AttributeProto.INTS)
    body = [attribute, helper.make_node("Exp", ["b"], ["c"])]
    function = helper.make_function(
        "local", "MeanExp", ["a"], ["c"], body, [helper.make_opsetid("", 13)], ["over"]
    )
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    call = helper.make_node("MeanExp", ["x"], ["y"], domain="local", over=[1])
    built = model(16, [call], {"x": x}, ["y"], domains=["local"])
    built.functions.append(function)
    after = convert_one(tmp_path, built, 19)
    assert after.functions[0].opset_import[0].version == 19
    outputs = run(after.SerializeToString(), {"x": x})
    np.testing.assert_allclose(outputs[0], np.exp(x.mean(axis=1)), rtol=1e-5)


def test_constants_say_their_values_in_old_words(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.0]),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    x = np.array([3, 4], np.float32)
    after = convert_one(tmp_path, model(13, nodes, {"x": x}, ["y"]), 11)
    tensor = helper.get_node_attr_value(after.graph.node[0], "value")
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), [1, 2])
    assert same(run(after.SerializeToString(), {"x": x}), [np.array([4, 6], np.float32)])
