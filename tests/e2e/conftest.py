"""A small pipeline run, once per test session, in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.factories import REPOSITORY

PLAIN = {
    "network": {"channels": ["red", "green", "blue"], "norm": "own", "head": "linear"},
    "fine_tuning": {"layer_decay": 1.0, "frozen_epochs": 0, "thaw_epochs": 0},
    "memory": {"accumulation": 1, "gradient_checkpointing": False},
    "ensemble": {"seeds": 1, "folds": False, "combine": "mean", "views": ["identity"]},
}

# Small enough for two cores and one minute; every stage runs as it does on real data.
SMALL = {
    "phantom": {
        "default": {
            "seed": 3,
            "patients": 60,
            "grade_shares": [0.3, 0.16, 0.2, 0.17, 0.17],
            "megapixels": 0.06,
            "faults": {
                "exact_duplicates": 2,
                "near_duplicates": 1,
                "cross_patient": 1,
                "contradictions": 1,
                "exif_turns": 2,
                "colour_order": 1,
                "not_fundus": 1,
            },
        }
    },
    "preprocess": {"canvas_px": 96, "num_shards": 3, "enhancement": "none"},
    "candidates": {
        "lite0": {
            "model": "test_efficientnet",  # timm's own for tests, of a family `test`: 0.1 M parameters
            "weights": "none",
            "input_px": 32,
            "epochs": 2,
            "batch_photographs": 16,
            "learning_rate": 0.002,
            "drop_rate": 0.0,
            "drop_path_rate": 0.0,
            **PLAIN,
        },
        "small": {
            "model": "resnet10t",
            "weights": "none",
            "input_px": 32,
            "epochs": 1,
            "batch_photographs": 16,
            "learning_rate": 0.002,
            "drop_rate": 0.0,
            "drop_path_rate": 0.0,
            **PLAIN,
            # its way through train, export, selection and the bundle is the same as of one network
            "ensemble": {"seeds": 2, "folds": False, "combine": "mean", "views": ["identity", "mirror"]},
        },
    },
    "latency": {"warmup_photographs": 2, "num_photographs": 10, "threads": 1},
    "deployment": {
        "families": ["test"],
        "latency_budget_ms": 10000.0,
        # two epochs teach nothing: the floor is tested in tests/deployment
        "referable_sensitivity_floor": 0.0,
        "formats": {"names": ["onnx"]},  # other formats are tested in tests/deployment
    },
}


@dataclass(frozen=True)
class Workspace:
    """A git and DVC workspace, and the programs to drive it."""

    root: Path

    def run(self, *command: str, check: bool = True, tracked: bool = False) -> str:
        """Runs a program of this environment; returns its output, standard error included.

        Args:
            command: The program and its arguments.
            check: Whether it must end well.
            tracked: Whether MLflow records what DVC runs, as it does by default; that takes seconds a stage.
        """
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "PYTHONPATH": str(self.root),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DR_PIPELINE_TRACKING": "off",
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        if tracked:
            del environment["DR_PIPELINE_TRACKING"]
        done = subprocess.run(
            command, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert not check or done.returncode == 0, f"{' '.join(command)} → {done.returncode}\n{done.stdout[-6000:]}"
        return done.stdout

    def repro(self) -> list[str]:
        """Runs `dvc repro`; returns the stages that ran."""
        return ran(self.run("dvc", "repro"))


def ran(output: str) -> list[str]:
    return re.findall(r"^Running stage '([^']+)'", output, flags=re.MULTILINE)


def copy_repository(target: Path) -> None:
    """Copies what git would: tracked files, and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        made = name.startswith(("reports/", "dvc.lock")) and name != "reports/external/README.md"
        if (REPOSITORY / name).is_file() and not made:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[str]]:
    """The workspace after its first `dvc repro`, committed, and the stages that ran."""
    space = Workspace(tmp_path_factory.mktemp("pipeline"))
    copy_repository(space.root)
    params = yaml.safe_load((space.root / "params.yaml").read_text())
    params["evaluation"]["bootstrap_replicates"] = 200
    (space.root / "params.yaml").write_text(yaml.safe_dump({**params, **SMALL}, sort_keys=False))
    space.run("git", "init", "-q")
    stages = space.repro()
    space.run("git", "add", "-A")
    space.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "first run")
    return space, stages


@pytest.fixture(scope="session")
def workspace(first_run: tuple[Workspace, list[str]]) -> Workspace:
    return first_run[0]
