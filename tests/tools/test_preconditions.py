"""What is missing is said before anything is installed, in one sentence, also by an old Python."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.factories import REPOSITORY

SCRIPT = REPOSITORY / "tools" / "preconditions.py"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def preconditions() -> ModuleType:
    spec = importlib.util.spec_from_file_location("preconditions", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that `make` reads before there is an environment; no git."""
    root = tmp_path / "dr pipeline"
    (root / "tools").mkdir(parents=True)
    shutil.copy(SCRIPT, root / "tools")
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, root)
    return root


def make(root: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "GIT_"))}
    command = ["make", "-C", str(root), f"PYTHON={sys.executable}", *words]
    return subprocess.run(command, capture_output=True, text=True, env=clean | environment)


def git_init(root: Path) -> None:
    subprocess.run(["git", "init", "-q", str(root)], check=True)


def environment(root: Path, *, made_at: Path) -> None:
    """What `make environment` leaves, as far as the Makefile looks at it."""
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (root / ".venv" / ".made-from-lock").write_text(f"{made_at}\n")


def test_an_old_python_can_read_the_script() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 6))
    assert text.isascii()


def test_nothing_is_missing_here(preconditions: ModuleType) -> None:
    assert preconditions.problems(REPOSITORY, ["repro"], installed=True) == []


@pytest.mark.parametrize(("version", "word"), [((3, 8), "too old"), ((3, 10), "too old"), ((3, 15), "too new")])
def test_the_version_of_python(preconditions: ModuleType, version: tuple[int, int], word: str) -> None:
    preconditions.sys = SimpleNamespace(version_info=(*version, 1), maxsize=sys.maxsize)
    (sentence,) = preconditions._python_problems()
    assert word in sentence
    assert "make PYTHON=" in sentence


def test_a_python_of_32_bits_or_without_venv(preconditions: ModuleType) -> None:
    preconditions.sys = SimpleNamespace(version_info=(3, 12, 1), maxsize=2**31 - 1)
    preconditions.find_spec = lambda name: None
    sentences = " ".join(preconditions._python_problems())
    assert "64-bit" in sentences
    assert "python3-venv" in sentences


@pytest.mark.parametrize(
    ("answer", "word"),
    [("glibc 2.17", "2.17 is too old"), ("musl 1.2", "Alpine"), (None, "Alpine"), ("glibc 2.36", "")],
)
def test_the_c_library(
    preconditions: ModuleType, monkeypatch: pytest.MonkeyPatch, answer: str | None, word: str
) -> None:
    def confstr(name: str) -> str:
        if answer is None:
            raise ValueError("unrecognized configuration name")
        return answer

    monkeypatch.setattr(os, "confstr", confstr)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    sentences = list(preconditions._system_problems())
    assert len(sentences) == bool(word)
    assert word in " ".join(sentences)


@pytest.mark.parametrize(
    ("free_gib", "installed", "count"), [(20, False, 0), (9, False, 1), (9, True, 0), (0.5, True, 1)]
)
def test_the_room_on_the_disk(
    preconditions: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    free_gib: float,
    *,
    installed: bool,
    count: int,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # on the same disk
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, free_gib * 2**30))
    sentences = preconditions.problems(tmp_path, ["repro"], installed=installed)
    assert len(sentences) == count
    assert all("GiB are free" in sentence for sentence in sentences)


def test_a_folder_that_no_environment_can_lie_in(preconditions: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    assert "':'" in " ".join(preconditions._folder_problems(tmp_path / "a:b"))


def test_a_repository_that_git_refuses_is_reported_in_its_words(preconditions: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    (sentence,) = preconditions._git_problems(tmp_path, ["repro"])
    assert "not a git repository: /nowhere" in sentence


def test_the_program_git_is_needed_by_the_tests_alone(
    preconditions: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert list(preconditions._git_problems(tmp_path, ["repro"])) == []
    assert "apt-get install git" in " ".join(preconditions._git_problems(tmp_path, ["test"]))


def test_an_unpacked_archive_is_refused_by_make_test_before_anything_is_installed(folder: Path) -> None:
    done = make(folder, "test")
    assert done.returncode == 2
    assert "git clone" in done.stderr
    assert "pip install" not in done.stdout + done.stderr
    assert not (folder / ".venv").exists()


def test_an_unpacked_archive_runs_without_git(folder: Path) -> None:
    environment(folder, made_at=folder)
    commands = make(folder, "-n", "repro").stdout
    assert "core.no_scm true" in commands
    assert "pip install" not in commands
    git_init(folder)
    assert "core.no_scm true" not in make(folder, "-n", "repro").stdout


def test_a_python_that_is_not_there_is_named(folder: Path) -> None:
    done = make(folder, "PYTHON=python3.99", "repro")
    assert done.returncode == 2
    assert "there is no python3.99" in done.stdout


def test_an_environment_is_kept_where_it_was_made(folder: Path) -> None:
    environment(folder, made_at=folder)
    assert "pip install" not in make(folder, "-n", "environment").stdout
    (folder / "requirements.lock").touch()
    assert "pip install" in make(folder, "-n", "environment").stdout


def test_the_environment_of_a_moved_repository_is_made_again(folder: Path) -> None:
    environment(folder, made_at=folder)
    moved = folder.rename(folder.with_name("renamed"))
    assert "-m venv .venv" in make(moved, "-n", "environment").stdout


def test_an_environment_whose_python_is_gone_is_made_again(folder: Path) -> None:
    environment(folder, made_at=folder)
    python = folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert "-m venv .venv" in make(folder, "-n", "environment").stdout


def test_an_environment_of_another_clone_behind_a_link_is_left_alone(folder: Path) -> None:
    other = folder.with_name("other")
    other.mkdir()
    environment(other, made_at=other)
    (folder / ".venv").symlink_to(other / ".venv")
    python = folder.parent / "python-without-venv"
    python.write_text('#!/bin/sh\nexec test "$1" = tools/preconditions.py\n')
    python.chmod(0o755)
    assert make(folder, f"PYTHON={python}", "environment").returncode == 2
    assert not (folder / ".venv").is_symlink()
    assert (other / ".venv" / "bin" / "python").is_symlink()
