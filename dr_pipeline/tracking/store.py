"""The MLflow store: finds it, opens it, and brings one run up to date with facts."""

import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tracking.facts import Facts, Measure
from dr_pipeline.tracking.relocate import follow_repository
from dr_pipeline.tracking.remote import first_try, is_remote

EXPERIMENT = "dr_pipeline"
_SQLITE = "sqlite:///"
_OPENING_S = 120.0  # MLflow makes its tables in a few seconds
_PAUSE_S = 0.1
_MAX_METRICS_PER_CALL = 1000  # MLflow's REST limit


def files_root(start: Path) -> Path:
    """The nearest folder from `start` upwards with a dvc.yaml or a .git: where the pipeline's files lie.

    Raises:
        DataError: There is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "dvc.yaml").is_file() or (folder / ".git").exists():
            return folder
    raise DataError("no folder with a dvc.yaml from here upwards", where=str(start), todo="run it in the repository")


def store_root(root: Path) -> Path:
    """Where mlflow.db lies: `root`, except for DVC's temporary workspaces (`dvc exp run --temp`), which are deleted."""
    for folder in root.parents:
        if folder.name == ".dvc":
            return folder.parent
    return root


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, else the file that plain `mlflow ui` reads in the repository's root."""
    path = str(store_root(root) / "mlflow.db").replace("%", "%25").replace("?", "%3F")
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{path}"


def follow_moved_repository(root: Path) -> None:
    """Corrects the places of artifacts in the repository's own store, if it has one and was moved.

    Raises:
        EnvironmentProblem: The database is damaged, or is no database.
    """
    home, database = store_root(root), _database_file(tracking_uri(root))
    if database and database.is_relative_to(home.resolve()):
        try:
            follow_repository(database, home)
        except sqlite3.DatabaseError as error:
            raise EnvironmentProblem(
                f"the MLflow store cannot be read: {error}",
                where=str(database),
                todo="put a copy of it back, or move it away: `dr-pipeline track rebuild` makes the runs again, but "
                "not the aliases",
            ) from None


def _database_file(uri: str) -> Path | None:
    """The file of a store in SQLite; None where it is another store."""
    name = unquote(uri.removeprefix(_SQLITE).partition("?")[0])
    return Path(name).resolve() if uri.startswith(_SQLITE) and name not in ("", ":memory:") else None


@contextmanager
def _opened_alone(uri: str) -> Iterator[None]:
    """One process at a time opens a database file: where two make MLflow's tables in it, one fails, or both.

    Raises:
        EnvironmentProblem: Another process has been opening it for minutes.
    """
    database = _database_file(uri)
    if database is None or sys.platform == "win32":
        yield
        return
    import fcntl

    database.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _OPENING_S
    with database.with_name(f"{database.name}.lock").open("wb") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the file is closed, also by a process's end
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise EnvironmentProblem(
                        f"another process has been opening the MLflow store for {_OPENING_S:.0f} s",
                        where=str(database),
                        todo=f"see which has {database.name}.lock open (fuser, lsof), end it and run this again",
                    ) from None
                time.sleep(_PAUSE_S)
        yield


def silence_mlflow() -> None:
    """Turns telemetry and chatter off; must run before the first import of mlflow."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)  # each try to reach a database


class Store:
    """One experiment of one MLflow store.

    MLflow's import and the opening of the database take about 1.5 s; building a Store is the moment to pay that.

    Raises:
        EnvironmentProblem: A server is away, the database is damaged, or another process does not end opening it.
    """

    def __init__(self, root: Path) -> None:
        silence_mlflow()
        from mlflow.tracking.client import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # its import sets its own level
        self.root = root
        self.uri = tracking_uri(root)
        self.registry_uri = os.environ.get("MLFLOW_REGISTRY_URI") or self.uri
        self.experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        self.client: Any

        def open_store() -> str:
            self.client = MlflowClient(self.uri, self.registry_uri)
            return self._experiment_id()

        with _opened_alone(self.uri):
            follow_moved_repository(root)
            self.experiment_id = first_try(self.uri, open_store) if is_remote(self.uri) else open_store()

    def _experiment_id(self) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        # MLflow resolves its default, ./mlruns, against the current folder; a server decides for itself.
        place = store_root(self.root) / "mlruns" / self.experiment
        location = place.as_uri() if self.uri.startswith("sqlite:") else None
        # the kind makes MLflow's page open on model training, not on language models
        tags = {"mlflow.note.content": RESEARCH_USE, "mlflow.experimentKind": "custom_model_development"}
        return str(self.client.create_experiment(self.experiment, artifact_location=location, tags=tags))

    def find(self, tags: dict[str, str], *, without: str = "") -> "StoredRun | None":
        """The newest run that carries all `tags` and lacks the tag `without`."""
        condition = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        for run in self.client.search_runs([self.experiment_id], condition, order_by=["start_time DESC"]):
            if without not in run.data.tags:
                return StoredRun(self.client, run)
        return None

    def create(self, name: str, tags: dict[str, str]) -> "StoredRun":
        """Begins a run."""
        run = self.client.create_run(self.experiment_id, run_name=name, tags=source_tags(self.root) | tags)
        return StoredRun(self.client, run)


class StoredRun:
    """A run in the store. Logging is idempotent: what the run shows already is not written again."""

    def __init__(self, client: Any, run: Any) -> None:
        self._client = client
        self.run_id = str(run.info.run_id)
        self.name = str(run.info.run_name)
        self._params: set[str] = set(run.data.params)
        self._stages = set(filter(None, run.data.tags.get("dvc.stage", "").split(", ")))
        self._seen = {
            Measure(name, point.value, point.step)
            for name in run.data.metrics
            for point in client.get_metric_history(self.run_id, name)
        }

    def log(self, facts: Facts) -> None:
        """Shows `facts`: new parameters, new metric values, all tags, all files (an older copy is replaced)."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        fresh = list(dict.fromkeys(m for m in facts.metrics if m not in self._seen))
        params = [Param(name, value) for name, value in facts.params.items() if name not in self._params]
        self._stages |= set(facts.stages)
        tags = [RunTag(name, value) for name, value in facts.tags.items()]
        tags.append(RunTag("dvc.stage", ", ".join(sorted(self._stages))))
        self._client.log_batch(self.run_id, params=params, tags=tags)
        for at in range(0, len(fresh), _MAX_METRICS_PER_CALL):
            batch = [Metric(m.name, m.value, now, m.step) for m in fresh[at : at + _MAX_METRICS_PER_CALL]]
            self._client.log_batch(self.run_id, metrics=batch)
        self._params |= set(facts.params)
        self._seen |= set(fresh)
        for path, folder in facts.artifacts:
            self._client.log_artifact(self.run_id, str(path), folder or None)

    def end(self, status: str) -> None:
        """Sets FINISHED, FAILED or KILLED, and the time of the end."""
        self._client.set_terminated(self.run_id, status)

    def resume(self) -> None:
        """Sets RUNNING again."""
        self._client.update_run(self.run_id, status="RUNNING")


def source_tags(root: Path) -> dict[str, str]:
    """Where a run comes from: the git commit, whether sources differ from it, DVC's experiment if there is one."""
    tags = {"mlflow.source.name": "dvc repro", "mlflow.source.type": "LOCAL"}
    commit = _git(root, ["rev-parse", "HEAD"])
    if commit is not None:
        # What a pipeline run itself rewrites is no change of its sources.
        changes = _git(root, ["status", "--porcelain", "--", ".", ":!reports", ":!dvc.lock"])
        tags |= {
            "git.commit": commit,
            "mlflow.source.git.commit": commit,
            "git.dirty": "unknown" if changes is None else str(bool(changes)).lower(),
        }
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.exp"] = experiment
    return tags


def _git(root: Path, arguments: Iterable[str]) -> str | None:
    """What git answers, or None where there is no git or no commit."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode(errors="replace").strip()
