"""A golden record finds every difference, names its part, and excuses the declared ones only."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from benchmarks import golden_comparison
from benchmarks.golden_comparison import compare, describe

DECLARED = (("run/*.json", "*.seconds", "time"), ("run/*.csv", "seconds", "time"), ("*.html", "text", "wording"))
REPORT = {"training": {"lite0": {"seconds": 1.5, "qwk": 0.9}}}
TABLE = "image_id,grade,seconds\na,0,1.5\nb,3,1.6\n"


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden_comparison, "DECLARED", DECLARED)


def record(work: Path, name: str, content: str | bytes) -> dict[str, Any]:
    path = work / "run" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {"environment": {}, "work": str(work), "artefacts": {f"run/{name}": describe(path)}}


def compared(folder: Path, name: str, before: str | bytes, after: str | bytes) -> int:
    return compare(record(folder / "before", name, before), record(folder / "after", name, after))


def tensors(values: list[float], metadata: dict[str, str]) -> bytes:
    data = struct.pack(f"<{len(values)}f", *values)
    tensor = {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": metadata, "head.bias": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    ("name", "content"),
    [("r.json", json.dumps(REPORT)), ("t.csv", TABLE), ("m.onnx", b"\x08\x0a"), ("w.safetensors", tensors([1.0], {}))],
)
def test_equal_files_are_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | bytes
) -> None:
    assert compared(tmp_path, name, content, content) == 0
    assert f"equal    run/{name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("r.json", json.dumps(REPORT), json.dumps(REPORT).replace("1.5", "2.5")),
        ("t.csv", TABLE, TABLE.replace("1.6", "9.9")),
        ("page.html", "<p>anew</p>", "<p>again</p>"),
    ],
)
def test_a_declared_difference_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, before: str, after: str
) -> None:
    assert compared(tmp_path, name, before, after) == 0
    assert f"declared run/{name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "before", "after", "shown"),
    [
        ("r.json", json.dumps(REPORT), json.dumps(REPORT).replace("0.9", "0.8"), "training.lite0.qwk: 0.9 → 0.8"),
        ("r.json", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', "whole: the order of its parts"),
        ("r.json", '{"a": 1}', '{"a":1}', "whole: bytes (8 → 7)"),
        ("r.json", '{"a": null}', '{"b": null}', "b: absent → None"),
        ("t.csv", TABLE, TABLE.replace("b,3", "b,4").replace("1.5", "9"), "line 3: '3' → '4'"),
        ("t.csv", TABLE, TABLE.replace("\n", "\r\n"), "whole: bytes"),
        ("t.csv", TABLE, TABLE + "c,1,1.0\n", "image_id: "),
        ("p.html", "a<img src='data:image/png;base64,AA'>", "b<img src='data:image/png;base64,AB'>", "pictures: "),
        ("card.md", "QWK 0.91 (n = 112)", "QWK 0.91 (n = 113)", "numbers: ['0.91', '112'] → ['0.91', '113']"),
        ("SHA256SUMS", "aa  model.onnx\n", "ab  model.onnx\n", "model.onnx: aa → ab"),
        ("m.onnx", b"\x08\x0a", b"\x08\x0b", "whole: bytes (2 → 2)"),
        ("w.safetensors", tensors([1.0], {}), tensors([2.0], {}), "head.bias: F32 [1]"),
        ("w.safetensors", tensors([1.0], {"px": "1"}), tensors([1.0], {"px": "2"}), "metadata.px: 1 → 2"),
    ],
)
def test_an_undeclared_difference_fails_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, before: str | bytes, after: str | bytes, shown: str
) -> None:
    assert compared(tmp_path, name, before, after) == 1
    printed = capsys.readouterr().out
    assert f"DIFFERS  run/{name}" in printed
    assert shown in printed


def test_a_missing_and_a_new_file_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(record(tmp_path / "before", "a.json", "{}"), record(tmp_path / "after", "b.json", "{}")) == 1
    assert "2 artefacts, 2 with undeclared differences" in capsys.readouterr().out
