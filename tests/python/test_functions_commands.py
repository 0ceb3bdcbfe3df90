"""The commands as functions: the same results as the program, options by keyword, errors, interrupts, threads."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
mc = pytest.importorskip("model_compression")

from function_models import PROGRAM, ROOT, classifier, document, run_python, text_of

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")


def without(report, *keys):
    return {key: value for key, value in report.items() if key not in keys}


def test_inspect_gives_the_programs_document_and_table(model):
    report = mc.inspect(model, shape={"x": [1, 3, 8, 8]}, nodes=True)
    assert report.to_dict() == document("inspect", model, "--shape", "x=1,3,8,8", "--nodes")
    assert repr(report) == text_of("inspect", model, "--shape", "x=1,3,8,8", "--nodes").rstrip("\n")
    assert report["parameters"] == 16 * 27 + 16 + 16 * 144 + 16 + 4 * 16 + 4


def test_evaluate_and_compare_give_the_programs_documents(model, data):
    assert mc.evaluate(model, data, metric="top5").to_dict() == document(
        "evaluate", model, "--data", data, "--metric", "top5"
    )
    words = ["compare", model, model, "--data", data, "--engine", "onnxruntime,torch", "--per-layer"]
    report = mc.compare(model, model, data, engine=["onnxruntime", "torch"], per_layer=True)
    assert report.to_dict() == document(*words)
    assert report.passed


def test_quantize_gives_the_programs_document_and_file(model, data, tmp_path):
    ours, theirs = tmp_path / "ours.onnx", tmp_path / "theirs.onnx"
    report = mc.quantize(
        model,
        ours,
        data=data,
        latency=False,
        method="percentile",
        percentile=99.5,
        keep_float=["head", "x*"][:1],
    )
    words = ["quantize", model, "--data", data, "-o", theirs, "--no-latency", "--method", "percentile"]
    expected = document(*words, "--percentile", "99.5", "--keep-float", "head")
    found = json.loads(json.dumps(report.to_dict()).replace(ours.name, theirs.name))
    assert without(found, "seconds") == without(expected, "seconds")
    assert ours.read_bytes() == theirs.read_bytes() == report.to_bytes()
    assert report.path == ours
    assert [row["quantized"] for row in report["layers"] if row["name"] == "head"] == [False]


def test_an_output_that_nobody_names_lives_as_long_as_the_report(model, data):
    report = mc.prune(model, method="magnitude", sparsity=0.5, seconds=0)
    path = report.path
    written = onnx.load_model_from_string(report.to_bytes())
    weight = next(each for each in written.graph.initializer if each.name == "deep.weight")
    assert (onnx.numpy_helper.to_array(weight) == 0).mean() == pytest.approx(0.5, abs=0.01)
    assert path.exists()
    del report
    assert not path.exists()


def test_a_goal_that_is_missed_is_in_the_report(model, data):
    report = mc.compare(model, model, data, min_snr=1e6)
    assert not report.passed
    assert report["passed"] is False
    assert "FAILED" in repr(report)


def test_benchmark_takes_several_models_and_choices(model):
    report = mc.benchmark([model, model], engine=["torch", "onnxruntime"], batch=[1, 2], seconds=0, threads=1)
    assert [(row["engine"], row["batch"]) for row in report["rows"]] == [
        (row["engine"], row["batch"])
        for row in document(
            "benchmark", model, model, "--engine", "torch,onnxruntime", "--batch", "1,2", "--seconds", "0"
        )["rows"]
    ]
    assert len(report.to_pandas()) == 8


def test_sensitivity_writes_its_page(model, data, tmp_path):
    report = mc.sensitivity(model, data, output=tmp_path / "page.html", bits=[4], samples=16)
    assert {row["name"] for row in report["sensitivity"]} == {"conv", "deep", "head"}
    assert "<html" in (tmp_path / "page.html").read_text()


def test_models_may_be_bytes_and_messages(model):
    proto = classifier()
    for form in (str(model), proto, proto.SerializeToString(), bytearray(proto.SerializeToString())):
        assert mc.inspect(form)["parameters"] == mc.inspect(model)["parameters"]


def test_reports_are_mappings_frames_and_pages(model):
    report = mc.inspect(model)
    assert dict(report)["nodes"] == len(report["costs"]) == 7
    assert list(report.to_pandas("layers")["name"]) == ["conv", "deep", "head"]
    assert report.tables()[0] == "costs"
    page = report._repr_html_()
    assert page.count("<table>") == 1 + len(report.tables())
    assert "deep.weight" in page
    with pytest.raises(KeyError, match="layers"):
        report.to_pandas("layer")
    with pytest.raises(ValueError, match="writes a model"):
        report.to_bytes()


def test_pages_escape_what_models_are_called(tmp_path):
    proto = classifier()
    proto.graph.node[0].name = "<script>"
    page = mc.inspect(proto)._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_nothing_is_printed(model, data, capfd):
    mc.quantize(model, data=data, latency=False)
    assert capfd.readouterr() == ("", "")


def test_messages_go_to_logging(tmp_path, caplog):
    random = np.random.default_rng(0)
    caplog.set_level(logging.DEBUG, "model_compression")
    mc.compare(
        classifier(),
        classifier(),
        {"x": random.random((4, 3, 8, 8), np.float32)},
        engine=["torch", "onnxruntime"],
    )
    assert all(record.name == "model_compression" for record in caplog.records)


bars_made = []


class Bars:
    """Takes tqdm's place."""

    def __init__(self, desc, total, **_):
        self.desc, self.total, self.n, self.closed = desc, total, 0, False
        bars_made.append(self)

    def set_postfix_str(self, note, refresh):
        pass

    def update(self, by):
        self.n += by

    def close(self):
        self.closed = True


def test_progress_goes_to_bars(model, data, monkeypatch):
    from model_compression import progress

    bars_made.clear()
    monkeypatch.setattr(progress, "_tqdm", lambda: Bars)
    mc.evaluate(model, data, batch=4)
    assert [(bar.n, bar.total, bar.closed) for bar in bars_made] == [(48, 48, True)]
    bars_made.clear()
    mc.show_progress(False)
    try:
        mc.evaluate(model, data)
    finally:
        mc.show_progress()
    assert bars_made == []


def test_bars_of_work_that_failed_are_closed(model, monkeypatch):
    from model_compression import progress

    class Late(torch.utils.data.Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, index):
            if index > 20:
                raise OSError("the disk is gone")
            return torch.zeros(3, 8, 8), 0

    bars_made.clear()
    monkeypatch.setattr(progress, "_tqdm", lambda: Bars)
    with pytest.raises(mc.Error, match="the disk is gone"):
        mc.compare(model, model, Late(), batch=4, engine=["torch", "onnxruntime"])
    assert bars_made
    assert all(bar.closed for bar in bars_made)


def test_a_listener_that_fails_ends_nothing(model, data, monkeypatch):
    from model_compression import progress

    class Broken(Bars):
        def update(self, by):
            raise RuntimeError("no room")

    monkeypatch.setattr(progress, "_tqdm", lambda: Broken)
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(str(what.exc_value)))
    assert mc.evaluate(model, data)["samples"] == 48
    assert set(told) == {"no room"}


@pytest.mark.parametrize(
    "options, says",
    [
        ({"methd": "mse"}, "did you mean method"),
        ({"zzz": 1}, "there are output|there are data|no option 'zzz'"),
        ({"symmetric": "yes"}, "True or False"),
        ({"method": object()}, "not object"),
        ({"method": ["mse", "entropy"]}, "one value"),
        ({"keep_float": [b"conv"]}, "not bytes"),
        ({"samples": 1j}, "not complex"),
        ({"json": True}, "no option 'json'"),
    ],
)
def test_wrong_options_are_type_errors(model, options, says):
    with pytest.raises(TypeError, match=says):
        mc.quantize(model, data="random:8", latency=False, **options)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"method": "entropie"}, "entropy"),
        ({"samples": -1}, "samples"),
        ({"samples": float("nan")}, "samples"),
        ({"weight_bits": 99}, "weight-bits"),
        ({"data": "nowhere.npz"}, "nowhere.npz"),
        ({"data": "memory:999"}, "memory:999"),
        ({"keep_float": "nothing-like-it"}, "nothing-like-it"),
    ],
)
def test_wrong_values_are_errors_with_the_native_message(model, options, says):
    with pytest.raises(mc.Error, match=says):
        mc.quantize(model, **{"data": "random:8", "latency": False} | options)


@pytest.mark.parametrize("wrong", [None, 3, [], {}, object(), np.zeros(3), 1.5])
def test_wrong_models_are_type_errors(wrong):
    for function in (mc.inspect, mc.quantize, lambda each: mc.evaluate(each, "random:4")):
        with pytest.raises(TypeError, match="path"):
            function(wrong)


def test_broken_models_are_errors(tmp_path):
    for broken in (b"", b"no model", classifier().SerializeToString()[:200]):
        with pytest.raises(mc.Error):
            mc.quantize(broken, data="random:4")
    with pytest.raises(mc.Error, match="gone.onnx"):
        mc.inspect(tmp_path / "gone.onnx")
    with pytest.raises(ValueError, match="no path"):
        mc.inspect("")
    with pytest.raises(mc.Error):
        mc.inspect("--help")
    with pytest.raises(ValueError, match="needs a model"):
        mc.benchmark([])


def test_options_are_those_of_the_program():
    known = mc.options("quantize")
    assert {"keep_float", "accuracy_drop", "latency", "threads"} <= set(known)
    assert "json" not in known
    assert all(known.values())
    with pytest.raises(ValueError, match="evaluate"):
        mc.options("evaluated")


def test_thread_pools_are_the_callers_again(model):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        mc.benchmark(model, batch=1, seconds=0, threads=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_calls_from_several_threads_all_work(model, data):
    expected = mc.evaluate(model, data).to_dict()
    results = []

    def work():
        for _ in range(3):
            results.append(mc.evaluate(model, data).to_dict())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 12


def test_other_threads_run_while_a_command_works(model):
    ticks = []
    done = threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.01)

    thread = threading.Thread(target=tick)
    thread.start()
    mc.benchmark(model, batch=1, seconds=0.3, threads=1)
    done.set()
    thread.join()
    assert len(ticks) > 5


INTERRUPTED = """
import os, signal, sys, threading, time
import model_compression as mc
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
def interrupt():
    time.sleep(1.5)
    os.kill(os.getpid(), signal.SIGINT)
started = threading.Thread(target=interrupt)
started.start()
try:
    mc.benchmark(sys.argv[1], batch=1, seconds=60, threads=1)
except KeyboardInterrupt:
    started.join()
    print("interrupted", mc.inspect(sys.argv[1])["nodes"], signal.getsignal(signal.SIGINT).__name__)
"""


def test_ctrl_c_is_a_keyboard_interrupt_and_the_process_goes_on(model):
    begin = time.monotonic()
    done = run_python(INTERRUPTED, model)
    assert done.stdout == "interrupted 7 default_int_handler\n", done.stderr
    assert time.monotonic() - begin < 60


def test_handlers_of_signals_are_as_before(model):
    before = signal.getsignal(signal.SIGINT)
    mc.inspect(model)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_module_is_the_program(model, tmp_path):
    def call(*words, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "model_compression", *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "python")},
        )
        assert done.returncode == status, done.stderr
        return done

    assert call("--help").stdout == text_of("--help")
    assert call("quantize", "--help").stdout == text_of("quantize", "--help")
    assert call("inspect", model).stdout == text_of("inspect", model)
    output = tmp_path / "int8.onnx"
    call("quantize", model, "--data", "random:16", "--no-latency", "-o", output)
    assert "DequantizeLinear" in {node.op_type for node in onnx.load(output).graph.node}
    assert "error:" in call("quantize", model, status=2).stderr
    assert "there is no command" in call("quantise", model, status=2).stderr


class Tags(HTMLParser):
    """Whether every tag is closed, and the text of the cells of each table."""

    def __init__(self):
        super().__init__()
        self.open, self.tables = [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1].append(data)


def test_pages_show_what_frames_show(model, data):
    pytest.importorskip("pandas")
    report = mc.quantize(model, data=data, latency=False)
    page = Tags()
    page.feed(report._repr_html_())
    assert page.open == []
    summary = dict(row for row in page.tables[0] if len(row) == 2)
    assert summary["model"] == str(model)
    assert float(summary["metric.before"]) == pytest.approx(report["metric"]["before"], rel=1e-5)
    assert "latency" not in summary  # nobody asked for it
    frame = report.to_pandas("layers")
    table = next(table for table in page.tables if "name" in table[0] and len(table) == 1 + len(frame))
    column = table[0].index("name")
    assert [row[column] for row in table[1:]] == list(frame["name"])
