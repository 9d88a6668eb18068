"""`dvc exp run` and its queue on the pipeline's own `train` stage, in a small workspace."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.factories.experiments import REPOSITORY, write_photographs


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git and DVC repository: a stage that brings canvases and split, this repository's `train` and params.yaml."""
    root = tmp_path_factory.mktemp("workspace")
    made = tmp_path_factory.mktemp("made")
    write_photographs(made, num_patients=30)
    (made / "pretrained").mkdir()  # what `train` may start from; empty where `pretrain` is off
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["candidates"] = {
        "lite0": params["candidates"]["lite0"]
        | {"model": "test_efficientnet", "weights": "none", "input_px": 32, "epochs": 1}
    }
    params["deployment"]["families"] = ["test"]
    (root / "params.yaml").write_text("# kept\n" + yaml.safe_dump(params, sort_keys=False))
    train = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["train"]
    outputs = [path for path in train["deps"] if not path.startswith("data/code/")]
    bring = {"cmd": f"mkdir -p data && cp -r {made}/. data", "outs": outputs}
    code = {"cmd": "python -m dr_pipeline code --out data/code", "outs": ["data/code"]}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"code": code, "bring": bring, "train": train}}))
    (root / ".gitignore").write_text("/.scratch/\n/data/\n")
    run(root, "git", "init", "-q")
    run(root, "dvc", "init", "-q")
    run(root, "dvc", "repro", "-q", "bring", "code")
    run(root, "git", "add", "-A")
    run(root, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start")
    return root


def run(root: Path, *command: str) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "DR_PIPELINE_TRACKING": "off",
    }
    done = subprocess.run(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)} → {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout


def shown(root: Path) -> dict[str, dict[str, Any]]:
    """Each experiment of the last commit by its name: learning rate and validation QWK."""
    found = {}
    for experiment in json.loads(run(root, "dvc", "exp", "show", "--json"))[1]["experiments"] or []:
        data = experiment["revs"][0]["data"]
        candidate = data["params"]["params.yaml"]["data"]["candidates"]["lite0"]
        metrics = data["metrics"]["reports/training/lite0-0.json"]["data"]["training"]["lite0-0"]
        found[experiment["name"]] = {"rate": candidate["learning_rate"], "qwk": metrics["validation_qwk"]}
    return found


def test_a_changed_value_and_a_queued_sweep_are_experiments_beside_one_another(workspace: Path) -> None:
    run(workspace, "dvc", "exp", "run", "-n", "here", "-S", "candidates.lite0.learning_rate=0.004", "train@lite0-0")
    written = (workspace / "params.yaml").read_text()
    assert yaml.safe_load(written)["candidates"]["lite0"]["learning_rate"] == 0.004
    assert written.startswith("# kept")
    sweep = "candidates.lite0.learning_rate=0.001,0.002"
    queued = run(workspace, "dvc", "exp", "run", "--queue", "-S", sweep, "train@lite0-0")
    names = re.findall(r"Queued experiment '([^']+)'", queued)
    assert len(names) == 2
    run(workspace, "dvc", "queue", "remove", names[1])  # what is left proves the rest, and saves seconds
    run(workspace, "dvc", "exp", "run", "--run-all", "-j", "1")
    experiments = shown(workspace)
    assert {name: one["rate"] for name, one in experiments.items()} == {"here": 0.004, names[0]: 0.001}
    assert all(-1 <= one["qwk"] <= 1 for one in experiments.values())
    assert yaml.safe_load((workspace / "params.yaml").read_text())["candidates"]["lite0"]["learning_rate"] == 0.004
