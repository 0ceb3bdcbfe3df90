"""Writes the models of ONNX's operator tests that are small, one for each operator and opset version, into a folder."""

import sys
from pathlib import Path

from onnx.backend.test.case.node import collect_testcases

LARGEST = 2000  # bytes


def main(folder):
    smallest = {}
    for case in collect_testcases(None):
        model = case.model
        if model is None:
            continue
        key = (tuple(sorted({node.op_type for node in model.graph.node})), model.opset_import[0].version)
        data = model.SerializeToString()
        if len(data) <= LARGEST and len(data) < len(smallest.get(key, b"x" * (LARGEST + 1))):
            smallest[key] = data
    folder.mkdir(parents=True)
    for index, data in enumerate(smallest.values()):
        (folder / f"seed_{index}.onnx").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
