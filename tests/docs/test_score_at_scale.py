"""The recipes for many machines: they are read by the programs that they are for, and the scripts do what is stated."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle, photograph
from tests.factories.scoring import score_in_process

pytestmark = pytest.mark.slow

PAGE = (REPOSITORY / "docs" / "how-to" / "score-at-scale.md").read_text(encoding="utf-8")


def block(name: str, language: str) -> str:
    """The code that follows the name of a file."""
    found = re.search(rf"`{re.escape(name)}`.*?```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1]


def test_an_array_of_jobs_and_its_merge_give_the_table_of_one_run(tmp_path: Path) -> None:
    clinic = tmp_path / "a clinic"
    clinic.mkdir()
    for number in range(5):
        (clinic / f"{number}.jpg").write_bytes(photograph(number))
    bundle, program = make_bundle(tmp_path / "release"), tmp_path / "bin" / "dr-pipeline"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dr_pipeline "$@"\n')
    program.chmod(0o700)
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PHOTOGRAPHS": str(clinic),
        "BUNDLE": str(bundle),
        "RESULTS": str(tmp_path / "results"),
        "NUM_SHARDS": "2",
    }
    jobs = [("score.sbatch", {"SLURM_ARRAY_TASK_ID": str(index)}) for index in (1, 0)]
    for name, added in [*jobs, ("merge.sbatch", {})]:
        script = tmp_path / name
        script.write_text(block(name, "bash"))
        subprocess.run(["bash", script], env=environment | added, cwd=REPOSITORY, check=True, timeout=120)
    score_in_process(clinic, bundle, tmp_path / "one.csv")
    assert (tmp_path / "results" / "predictions.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_the_indexed_job_has_as_many_shards_as_indexes_and_its_arguments_are_the_command_s() -> None:
    job = yaml.safe_load(block("score-job.yaml", "yaml"))
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (line,) = container["args"]
    assert f"--num-shards {job['spec']['completions']} " in line
    subprocess.run(["sh", "-n", "-c", line], check=True, timeout=10)
    assert line.split()[:3] == ["exec", "dr-pipeline", "score"]
    known = subprocess.run(
        [sys.executable, "-m", "dr_pipeline", "score", "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert not [option for option in re.findall(r"--[a-z-]+", line) if f"{option} " not in f"{known} "]
    volumes = {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
