"""The bundle in MLflow's model registry: `dr-grader`, with a signature and the aliases `challenger` and `champion`."""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.code_version import module_files
from dr_pipeline.files import read_json
from dr_pipeline.metrics.intervals import format_estimate
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.graded import read_graded
from dr_pipeline.tables.predictions import PHOTOGRAPH_COLUMNS
from dr_pipeline.tracking.evidence import add_evidence
from dr_pipeline.tracking.guard import guarded, switched_on
from dr_pipeline.tracking.layout import Item, Layout
from dr_pipeline.tracking.promotion_lock import promotion_lock
from dr_pipeline.tracking.remote import without_credentials
from dr_pipeline.tracking.session import pipeline_session
from dr_pipeline.tracking.store import Store, files_root

MODEL_NAME = "dr-grader"
CHAMPION, CHALLENGER = "champion", "challenger"
_LESIONS_TAG = "lesions_sha256"
# Another registration holds the lock for a moment, a promotion until it has read a bundle.
_FIRST_CHAMPION_WAIT_S = 60.0
LOADER = "dr_pipeline.scoring.pyfunc"  # named, not imported: MLflow imports it where the model is loaded
_SCORING_PACKAGES = (
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pandas",
    "pebble",
    "pydicom",
    "python-gdcm",
    "simplejpeg",
    "tifffile",
    "tqdm",
    "xxhash",
)

_log = logging.getLogger(__name__)


def register(bundle: Path) -> None:
    """Registers a bundle as the newest version of `dr-grader`; like all tracking, it never stops a stage.

    Args:
        bundle: The folder of a bundle.
    """
    if switched_on():
        root = files_root(bundle)
        guarded(lambda: register_in(Store(root), Layout.at(root), bundle))


def register_in(store: Store, layout: Layout, bundle: Path) -> None:
    """Registers `bundle` in `store`, linked to the pipeline's run.

    The newest version gets the alias `challenger`; it becomes `champion` only where there is none, since replacing
    what a clinic uses is a person's decision. A bundle that is registered already is not registered again.

    Raises:
        EnvironmentProblem: There is no champion, and a promotion that has not ended holds the lock.
    """
    metadata, found = read_json(bundle / "metadata.json"), version_of_bundle(store.client, bundle)
    if found is None:
        run_id = pipeline_session(store, layout, "package").run.run_id
        found = add_version(store, run_id, bundle, metadata["bundle_id"])
    else:
        _challenge(store, found)
    _add_validation(store, layout, metadata, found)


def add_version(
    store: Store, run_id: str, bundle: Path, bundle_id: str, tags: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Adds a bundle to the registry as its newest version, the challenger, in a run; returns its number.

    Raises:
        EnvironmentProblem: See `ensure_champion`.
    """
    if lesions := identify_bundle(bundle).lesions:
        tags = {**tags, _LESIONS_TAG: lesions}
    version = _log_model(store, run_id, bundle, bundle_id, tags)
    _challenge(store, version)
    return version


def _challenge(store: Store, version: str) -> None:
    store.client.set_registered_model_alias(MODEL_NAME, CHALLENGER, version)
    ensure_champion(store, version)


def ensure_champion(store: Store, version: str) -> None:
    """Makes a version the champion where there is none; of two that are registered at a time, one.

    Raises:
        EnvironmentProblem: There is none, and another process holds the lock of promotions for longer than it should.
    """
    client = store.client
    if _has_champion(client):
        return
    with promotion_lock(client, where=place_of(store), wait_s=_FIRST_CHAMPION_WAIT_S) as require_held:
        if not _has_champion(client):
            require_held()
            client.set_registered_model_alias(MODEL_NAME, CHAMPION, version)


def _has_champion(client: Any) -> bool:
    return CHAMPION in client.get_registered_model(MODEL_NAME).aliases


def place_of(store: Store) -> str:
    """The registry, for messages."""
    return f"{MODEL_NAME} at {without_credentials(store.uri)}"


def _add_validation(store: Store, layout: Layout, metadata: dict[str, Any], version: str) -> None:
    """Adds the graded validation photographs that lie in `layout`, where they are this bundle's."""
    item = Item(str(metadata["model"]["candidate"]), int(metadata["model"]["fold"]))
    for predictions in layout.validation_predictions(item):
        decision = predictions.with_name("decision.json")
        if predictions.is_file() and decision.is_file() and read_json(decision) == metadata["decision"]:
            split = metadata["decision"]["fitted_on"]["splits_sha256"]
            add_evidence(store.client, MODEL_NAME, version, "validation", read_graded(predictions), split)
            return
    _log.warning(
        "the registered version has no validation photographs: those of %s are absent or of another bundle",
        item.candidate,
    )


def show_test(store: Store, layout: Layout) -> None:
    """Adds the test figures and the graded test photographs to the registered bundle, where the registry has it."""
    bundle_id = read_json(layout.bundle / "metadata.json")["bundle_id"]
    found, report = version_of_bundle(store.client, layout.bundle), read_json(layout.figures("test"))["test"]
    if found is None:
        return
    if report["bundle_id"] != bundle_id:
        _log.warning("the test figures are of bundle %s, and not shown beside %s", report["bundle_id"], bundle_id)
        return
    rows = read_graded(layout.test_predictions)
    add_evidence(store.client, MODEL_NAME, found, "test", rows, report["splits_sha256"])
    _tag_figures(store.client, found, "test", report)


def show_external(store: Store, layout: Layout) -> None:
    """Adds the figures on other data sets to the registered bundle, beside those of the test."""
    bundle_id = read_json(layout.bundle / "metadata.json")["bundle_id"]
    found = version_of_bundle(store.client, layout.bundle)
    for name, path in layout.externals().items():
        report = read_json(path)["external"][name]
        if found is not None and report["bundle_id"] == bundle_id:
            figures = report["figures"] | report["intention_to_screen"]  # sensitivity of all, ungradable ones referred
            _tag_figures(store.client, found, f"external.{name}", figures)


def _tag_figures(client: Any, version: str, prefix: str, report: Mapping[str, Any]) -> None:
    for name, figure in report.items():
        if isinstance(figure, dict) and {"value", "low", "high", "n"} <= set(figure):
            client.set_model_version_tag(MODEL_NAME, version, f"{prefix}.{name}", format_estimate(figure))


def version_of(client: Any, bundle_id: str, *, lesions: str | None = None) -> str | None:
    """The newest version of `dr-grader` that holds this bundle.

    Args:
        client: Of the registry.
        bundle_id: The bundle's.
        lesions: Hash of its lesions.onnx, which the id does not cover, empty where it has none; None: any.
    """
    versions = client.search_model_versions(f"name = '{MODEL_NAME}'")
    numbers = [
        int(v.version)
        for v in versions
        if v.tags.get("bundle_id") == bundle_id and lesions in (None, v.tags.get(_LESIONS_TAG, ""))
    ]
    return str(max(numbers)) if numbers else None


def version_of_bundle(client: Any, bundle: Path) -> str | None:
    """The newest version that holds this bundle, with its network for lesions, which the id does not cover."""
    identity = identify_bundle(bundle)
    return version_of(client, identity.bundle_id, lesions=identity.lesions)


def _log_model(store: Store, run_id: str, bundle: Path, bundle_id: str, tags: Mapping[str, str]) -> str:
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    with mlflow.start_run(run_id=run_id), tempfile.TemporaryDirectory() as folder:
        logged = mlflow.pyfunc.log_model(
            name=MODEL_NAME,
            loader_module=LOADER,
            data_path=str(bundle),
            code_paths=[str(_scoring_code(Path(folder)))],
            pip_requirements=[f"{name}=={version(name)}" for name in _SCORING_PACKAGES],
            signature=_signature(),
            input_example=_example(),
            metadata={"bundle_id": bundle_id, "research_use": RESEARCH_USE},
        )
    _ensure_model(store.client)
    created = store.client.create_model_version(
        MODEL_NAME,
        source=logged.model_uri,
        run_id=logged.run_id,
        tags={"bundle_id": bundle_id, **tags},
        description=f"{RESEARCH_USE} Bundle {bundle_id}.",
        model_id=logged.model_id,
    )
    return str(created.version)


def _ensure_model(client: Any) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(MODEL_NAME, description=RESEARCH_USE)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _scoring_code(folder: Path) -> Path:
    """A copy of what the loader imports of this package: a part of its files, each of them a request to a server."""
    package = folder / "dr_pipeline"
    for name, path in module_files(LOADER).items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, package / name)
    return package


def _signature() -> Any:
    """The signature: a table of bytes or paths in, a table of scores out; see scoring/pyfunc.py."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    text = ("path", "sha256", "status", "reason", "camera", "bundle_id")
    inputs = [ColSpec(DataType.binary, "image", required=False), ColSpec(DataType.string, "path", required=False)]
    outputs = [
        ColSpec(DataType.string, name) if name in text else ColSpec(DataType.double, name, required=False)
        for name in PHOTOGRAPH_COLUMNS
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _example() -> Any:
    import pandas as pd

    return pd.DataFrame({"path": ["photographs/0001.jpg"]})
