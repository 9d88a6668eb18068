"""The code version: equal where the code is, and stated for exactly what a module imports."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dr_pipeline import code_version as module
from dr_pipeline.code_version import OUTPUT_NEUTRAL, code_version, module_hashes
from dr_pipeline.stages import STAGES, stage_module
from tests.factories import REPOSITORY

pytestmark = pytest.mark.slow

MODULES = [stage_module(stage) for stage in STAGES if stage != "code"]


def source(tmp_path: Path, text: str) -> str:
    path = tmp_path / "m.py"
    path.write_text(text, encoding="utf-8")
    return module._Source(path).sha256


def test_comments_docstrings_and_layout_are_no_part_of_the_code(tmp_path: Path) -> None:
    plain = source(tmp_path, "class A:\n    x = (1, 2)\n    def f(self):\n        return 'a'\n")
    written = """
        \"\"\"Module.\"\"\"
        class A:
            \"\"\"Class.\"\"\"
            x = (
                1,
                2,
            )
            \"\"\"Of x.\"\"\"

            def f(self):  # why
                \"\"\"Method.\"\"\"
                return "a"
    """
    assert source(tmp_path, "if True:\n" + written.replace("\n        ", "\n    ")) != plain
    assert source(tmp_path, "\n".join(line[8:] for line in written.splitlines())) == plain


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 'a'", "x = b'a'"),
        ("def f(a, b=None): pass", "def f(a, b): pass"),
        ("def f(): return None", "def f(): return 0"),
        ("x: int = 1", "x = 1"),
        ("a < b", "a <= b"),
        ("f(x)", "f(*x)"),
        ("@cache\ndef f(): pass", "def f(): pass"),
    ],
)
def test_a_changed_statement_is_another_version(before: str, after: str, tmp_path: Path) -> None:
    assert source(tmp_path, before) != source(tmp_path, after)


@pytest.mark.parametrize("name", MODULES)
def test_a_stage_is_in_its_own_closure_and_no_neutral_module_is(name: str) -> None:
    modules = module_hashes(name)
    assert name.removeprefix("dr_pipeline.").replace(".", "/") + ".py" in modules
    assert not [path for path in modules if path.startswith(tuple(OUTPUT_NEUTRAL))]


def test_the_closure_follows_imports_inside_functions() -> None:
    assert {"training/loop.py", "models/losses/coral.py", "fundus/decode.py", "schema.py"} < set(
        module_hashes("dr_pipeline.stages.train")
    )
    assert "training/loop.py" not in module_hashes("dr_pipeline.stages.select")


def test_every_module_that_a_stage_loads_is_in_its_closure() -> None:
    """A module that is imported by name at run time would escape the closure: compare with what Python loaded."""
    program = "import sys, dr_pipeline.stages.{0} as s\nimport dr_pipeline.training.trainer\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program.format("train")], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    loaded = {
        name.removeprefix("dr_pipeline.").replace(".", "/") for name in done.stdout.split() if "dr_pipeline." in name
    }
    modules = module_hashes("dr_pipeline.stages.train")
    missing = {f"{name}.py" for name in loaded} - set(modules)
    package = REPOSITORY / "dr_pipeline"
    assert not [name for name in missing if (package / name).is_file() and not name.startswith(tuple(OUTPUT_NEUTRAL))]


def test_a_module_that_a_registry_names_is_imported() -> None:
    tree = ast.parse("LOSSES = {'a': 'dr_pipeline.models.heads:Head', 'b': 'dr_pipeline is a name'}")
    assert module._imported_names(tree) == ["dr_pipeline.models.heads"]


def test_an_unknown_module_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"no module dr_pipeline\.stages\.grade"):
        code_version("dr_pipeline.stages.grade")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "dr_pipeline", tmp_path / "dr_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def versions(root: Path) -> dict[str, bytes]:
    subprocess.run(
        [sys.executable, "-m", "dr_pipeline", "code", "--out", "code"], cwd=root, check=True, capture_output=True
    )
    return {path.stem: path.read_bytes() for path in sorted((root / "code").iterdir())}


def test_exactly_the_stages_whose_closure_holds_a_changed_line_get_another_version(copied: Path) -> None:
    """Of other modules in tests/e2e/test_pipeline.py."""
    before = versions(copied)
    assert set(before) == set(STAGES) - {"code"}
    texts = {
        name: (copied / "dr_pipeline" / name).read_text(encoding="utf-8") for name in ("fundus/field.py", "schema.py")
    }
    for name, text in texts.items():
        reworded = text.replace('"""', '"""Reworded. ', 1) + "# a comment\n"
        (copied / "dr_pipeline" / name).write_text(reworded, encoding="utf-8")
    assert versions(copied) == before
    for name, text in texts.items():
        path = copied / "dr_pipeline" / name
        path.write_text(text + "CHANGED = 1\n", encoding="utf-8")
        changed = {stage for stage, content in versions(copied).items() if content != before[stage]}
        assert changed == {stage for stage in before if name in module_hashes(stage_module(stage))}, name
        path.write_text(text, encoding="utf-8")
