"""The command line is light to open and clear when it refuses."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dr_pipeline.cli import COMMANDS, EXIT_USER_ERROR, STAGES, main

HEAVY = {
    "albumentations", "cv2", "dvc", "jinja2", "lightning_fabric", "matplotlib", "mlflow", "monai", "numpy", "onnx",
    "onnxruntime", "pandas", "pydantic", "scipy", "sklearn", "timm", "torch", "torchvision", "tqdm", "yaml",
}  # fmt: skip


HELP_OF_ALL = """
import sys
from dr_pipeline.cli import main
_, *heavy = sys.argv
for verb in sys.stdin.read().splitlines():
    try:
        main([*filter(None, [verb]), "--help"])
    except SystemExit:
        pass
    if loaded := {name.split(".")[0] for name in sys.modules} & {*heavy}:
        sys.exit(f"--help of {verb!r} imports {loaded}")
"""


def test_help_imports_nothing_heavy() -> None:
    """One interpreter shows the help of every verb, one after the other: what none of them imports, no one does."""
    verbs = "\n".join(["", *STAGES, *COMMANDS])
    run = subprocess.run([sys.executable, "-c", HELP_OF_ALL, *HEAVY], input=verbs, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("usage: ") == 1 + len(STAGES) + len(COMMANDS)


def test_help_lists_every_verb_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    for verb in (*STAGES, *COMMANDS):
        sentence = re.search(rf"^    {verb}\s+(\S+ \S+ \S+)", text, flags=re.MULTILINE)
        assert sentence, f"{verb} has no help"
    assert "not a medical device" in text.lower()


def test_an_error_is_one_message_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["verify", str(tmp_path / "no bundle")])
    assert code == EXIT_USER_ERROR
    assert "Traceback" not in capsys.readouterr().err


def test_a_failure_of_the_system_is_one_message_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "machine.json").mkdir()
    assert main(["machine", "--out", str(tmp_path / "machine.json")]) == 2
    assert capsys.readouterr().err == (
        f"dr-pipeline machine: Is a directory\n  where: {tmp_path / 'machine.json'}\n"
        "  to do: name a file; this is a folder\n"
    )


def test_a_full_disk_is_one_message_with_what_to_do(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    def fail(_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # of a write, which knows no path

    monkeypatch.setattr("dr_pipeline.stages.machine.run", fail)
    assert main(["machine", "--out", "machine.json"]) == 2
    assert capsys.readouterr().err == (
        "dr-pipeline machine: No space left on device\n"
        "  to do: free space on the disk that is written to, or name a place on another one\n"
    )


def test_a_disk_that_fills_up_while_a_file_is_written_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("dr_pipeline.files.os.fsync", full)
    out = tmp_path / "machine.json"
    assert main(["machine", "--out", str(out)]) == 2
    assert f"No space left on device\n  where: {out}\n  to do: free space" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_verb_is_refused() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["grade"])


def test_a_verb_of_the_training_half_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pydantic'] = None; from dr_pipeline.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "recipe", "synthetic", "--params", str(tmp_path / "params.yaml")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == EXIT_USER_ERROR
    assert "dr-pipeline[train]" in run.stderr
    assert "Traceback" not in run.stderr
