"""The workers of a Ray cluster: the same results as on one machine, whatever of it is killed.

The cluster is one of this machine, four workers, which the tests of this file share.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.canvases.build import build_store
from dr_pipeline.engines import ray as ray_engine
from dr_pipeline.engines.choice import EngineChoice, EngineName
from dr_pipeline.engines.ray import RayEngine
from dr_pipeline.errors import BundleError, EnvironmentProblem
from tests.factories.bundles import make_bundle, photograph
from tests.factories.canvases import PATH, build, tree, write_photographs
from tests.factories.engines import FAULTS, RESULTS_OF_FAULTS, Command, results
from tests.factories.lesion_networks import colour_network
from tests.factories.scoring import score_in_process

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """The module ray, connected."""
    with ray_engine.cluster("local", workers=4) as ray:
        yield ray


@pytest.fixture(scope="module")
def engine(cluster: Any) -> Iterator[RayEngine[str, str]]:
    with RayEngine(Command(), address=None, workers=4, time_limit_s=1.0) as engine:
        yield engine


def workers_of(engine: RayEngine[str, str]) -> list[int]:
    """Process ids of the cluster's workers."""
    return sorted({int(pid) for pid in results(engine, *["parent"] * 200)})


def test_without_the_package_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    engine = RayEngine(Command(), address=None, workers=1, time_limit_s=5)
    with pytest.raises(EnvironmentProblem, match="needs the package 'ray'") as caught, engine:
        pass
    assert "dr-pipeline[ray]" in caught.value.todo


def test_an_address_where_nothing_answers_is_an_error_at_once() -> None:
    engine = RayEngine(Command(), address="127.0.0.1:9", workers=1, time_limit_s=5)
    with pytest.raises(EnvironmentProblem, match="no connection") as caught, engine:
        pass
    assert caught.value.where == "127.0.0.1:9"


def test_results_are_in_order_and_items_are_taken_a_bounded_number_ahead(engine: RayEngine[str, str]) -> None:
    taken = []

    def items() -> Iterator[str]:
        for number in range(600):
            taken.append(number)
            yield str(number)

    for done, (item, result) in enumerate(engine.results(items()), start=1):
        assert item == result == str(done - 1)
        assert len(taken) - done <= 4 * 4 * 16
    assert len(taken) == 600


def test_a_file_that_hangs_or_kills_its_process_has_the_same_result_as_on_one_machine(engine) -> None:
    assert results(engine, *FAULTS) == RESULTS_OF_FAULTS


def test_a_worker_that_is_killed_loses_nothing(engine: RayEngine[str, str]) -> None:
    workers = workers_of(engine)
    assert len(workers) > 1

    def items() -> Iterator[str]:
        for number in range(600):
            if number == 300:
                os.kill(workers[0], signal.SIGKILL)
            yield f"wait {number}"

    assert list(engine.results(items())) == [(f"wait {n}", f"WAIT {n}") for n in range(600)]
    assert workers[0] not in workers_of(engine)


def test_an_item_that_kills_the_worker_itself_costs_only_its_own_result(engine: RayEngine[str, str]) -> None:
    died = "kill parent: the worker of the cluster died on it 2 times"
    assert results(engine, "a", "kill parent", "b") == ["A", died, "B"]


def test_a_fault_of_the_setup_ends_the_run_with_its_own_message(cluster: Any) -> None:
    engine = RayEngine(Command("raise"), address=None, workers=1, time_limit_s=5)
    with engine, pytest.raises(BundleError) as caught:
        results(engine, "a")
    assert (caught.value.what, caught.value.todo) == ("another bundle", "put it back")


def test_a_machine_with_another_version_ends_the_run(engine: RayEngine[str, str], monkeypatch) -> None:
    monkeypatch.setattr(ray_engine, "__version__", "0.0.1")
    with pytest.raises(EnvironmentProblem, match=r"instead of 0\.0\.1"):
        results(engine, "a")


def test_a_machine_without_the_folder_of_the_photographs_ends_the_run(cluster: Any, tmp_path: Path) -> None:
    task = Command(places=(tmp_path, tmp_path / "not mounted"))
    with (
        RayEngine(task, address=None, workers=1, time_limit_s=5) as engine,
        pytest.raises(EnvironmentProblem) as caught,
    ):
        results(engine, "a")
    assert caught.value.where == str(tmp_path / "not mounted")


def test_canvases_have_the_bytes_of_any_other_engine(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    rows = write_photographs(tmp_path / "photographs")
    build(rows, tmp_path / "photographs", tmp_path / "in_process")
    engines = EngineChoice(EngineName.RAY)
    build_store(rows, tmp_path / "photographs", tmp_path / "ray", PATH, num_shards=4, engines=engines)
    assert tree(tmp_path / "ray") == tree(tmp_path / "in_process")


def test_score_by_its_command_over_the_cluster_gives_the_same_tables(cluster: Any, tmp_path: Path) -> None:
    bundle, folder = make_bundle(tmp_path / "release", lesions=colour_network()), tmp_path / "clinic"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
    (folder / "text.jpg").write_text("not a picture")
    score_in_process(folder, bundle, tmp_path / "in_process.csv", lesions=True)
    command = ["score", "clinic", "--bundle", "release", "--out", "ray.csv", "--lesions"]
    command += ["--engine", "ray", "--ray-address"]
    program = [sys.executable, "-m", "dr_pipeline", *command, cluster.get_runtime_context().gcs_address]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "13 files = 13 rows" in done.stdout
    assert "ray" not in done.stderr.replace("ray.csv", "")
    for suffix in (".csv", ".lesions.csv", ".csv.outlines.jsonl"):
        assert (tmp_path / f"ray{suffix}").read_bytes() == (tmp_path / f"in_process{suffix}").read_bytes()


def test_a_cluster_of_this_machine_leaves_no_token_behind(tmp_path: Path) -> None:
    code = (
        "import os; from dr_pipeline.engines.ray import cluster\n"
        "for _ in range(2):\n"
        "    with cluster('local', 1) as ray:\n"
        "        print(ray.get(ray.remote(lambda: 'done').remote()), os.environ['RAY_AUTH_MODE'])\n"
        "print(sorted(name for name in os.environ if name.startswith('RAY_AUTH')))"
    )
    home = {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=without_token() | home, capture_output=True, text=True)
    assert done.stdout.split("\n")[:3] == ["done token", "done token", "[]"], done.stderr
    assert not (tmp_path / ".ray").exists()


def test_a_cluster_that_asks_for_a_token_is_an_error_that_says_so(cluster: Any) -> None:
    engine = f"RayEngine(None, address={cluster.get_runtime_context().gcs_address!r}, workers=1, time_limit_s=1)"
    code = f"from dr_pipeline.engines.ray import RayEngine\nwith {engine}: pass"
    done = subprocess.run([sys.executable, "-c", code], env=without_token(), capture_output=True, text=True)
    assert "RAY_AUTH_MODE=token" in done.stderr.splitlines()[-1]


def without_token() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
