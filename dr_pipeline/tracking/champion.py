"""Which version of `dr-grader` is the champion: a new one must pass its comparison with the present one, or be forced.

Every change of the champion is a tag `champion.<time>` of the registered model, which is never overwritten.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.errors import BundleError, DataError, DrPipelineError, EnvironmentProblem, GateError
from dr_pipeline.evaluation.promotion import Comparison, compare_versions
from dr_pipeline.params.evaluation import Evaluation, Promotion
from dr_pipeline.tracking.evidence import read_evidence, require_same_split
from dr_pipeline.tracking.registry import CHALLENGER, CHAMPION, MODEL_NAME, version_of
from dr_pipeline.tracking.remote import without_credentials
from dr_pipeline.tracking.store import Store

PREVIOUS = "previous"
_REBUILD = "run `dr-pipeline track rebuild`, which registers data/release"


@dataclass(frozen=True)
class Change:
    """A change of the champion.

    Attributes:
        champion: Version number of the champion now.
        bundle_id: Its bundle.
        previous: Version number of the champion before; "" where there was none, or where nothing changed.
        lines: The figures, and why it was forced.
    """

    champion: str
    bundle_id: str
    previous: str
    lines: tuple[str, ...] = ()


def promote(
    store: Store, wanted: str, margins: Promotion, params: Evaluation, *, part: str = "test", force: str = ""
) -> Change:
    """Makes a version the champion, if it keeps the margins against the present one; that one becomes `previous`.

    Args:
        store: The registry.
        wanted: A version number, an alias such as `challenger`, or the path of a registered bundle.
        margins: What the figures may lose.
        params: Confidence, bootstrap replicates and their seed.
        part: The photographs that both versions graded: `test`, or `validation`.
        force: The reason for which the version becomes champion whatever the comparison gives.

    Raises:
        GateError: It does not keep the margins, or was graded on another split than the champion.
        DataError: There is no such version, or it or the champion has no graded photographs.
        BundleError: The bundle in the registry is damaged.
        EnvironmentProblem: The store refuses.
    """
    with _answering(store):
        version, champion = _find(store.client, wanted), _by_alias(store.client, CHAMPION)
        bundle_id = str(version.tags.get("bundle_id"))
        if champion is not None and champion.version == version.version:
            return Change(str(version.version), bundle_id, "", ("it is the champion already; nothing was changed",))
        _require_whole(store, version)
        lines = [] if champion is None else _compared(store, version, champion, margins, params, part, force)
        if force:
            store.client.set_model_version_tag(MODEL_NAME, version.version, "promotion.forced", force)
        if (challenger := _by_alias(store.client, CHALLENGER)) and challenger.version == version.version:
            store.client.delete_registered_model_alias(MODEL_NAME, CHALLENGER)
        return _move(store.client, version, champion, ("promoted", *lines))


def rollback(store: Store, *, reason: str = "") -> Change:
    """Makes the previous champion the champion again; the two change places, so that another rollback undoes it.

    Raises:
        DataError: There is no previous champion.
        BundleError: Its bundle in the registry is damaged.
        EnvironmentProblem: The store refuses.
    """
    with _answering(store):
        champion, previous = _by_alias(store.client, CHAMPION), _by_alias(store.client, PREVIOUS)
        if champion is None or previous is None or champion.version == previous.version:
            raise DataError(
                "there is no previous champion to go back to",
                where=f"{MODEL_NAME} at {without_credentials(store.uri)}",
                todo="promote a version by its number: dr-pipeline promote VERSION",
            )
        _require_whole(store, previous)
        return _move(store.client, previous, champion, ("rolled back", *([f"reason: {reason}"] if reason else [])))


def _compared(
    store: Store, version: Any, champion: Any, margins: Promotion, params: Evaluation, part: str, force: str
) -> list[str]:
    """The figures, and what was forced; raises what `promote` does, unless the version is forced."""
    try:
        comparison = _compare(store.client, version, champion, margins, params, part)
    except DrPipelineError as error:
        if not force:
            raise
        return [f"not compared: {error.what}", f"forced: {force}"]
    lines = [f"on the {part} split", *comparison.lines()]
    if comparison.failures and not force:
        raise GateError(
            "\n  ".join(
                [
                    f"version {version.version} does not replace the champion, version {champion.version}",
                    *lines,
                    *comparison.failures,
                ]
            ),
            where=f"{MODEL_NAME} at {without_credentials(store.uri)}",
            todo="train a better one, test both on more photographs, or promote it with --force REASON",
        )
    return [*lines, *comparison.failures, *([f"forced: {force}"] if force else [])]


def _compare(client: Any, version: Any, champion: Any, margins: Promotion, params: Evaluation, part: str) -> Comparison:
    new, present = (read_evidence(client, each, part) for each in (version, champion))
    require_same_split(version, champion, part)
    return compare_versions(new, present, margins, params)


def _move(client: Any, version: Any, champion: Any | None, lines: tuple[str, ...]) -> Change:
    """Moves the aliases, `previous` first: whatever ends this halfway, there is a champion."""
    previous = "" if champion is None else str(champion.version)
    if champion is not None:
        client.set_registered_model_alias(MODEL_NAME, PREVIOUS, champion.version)
    client.set_registered_model_alias(MODEL_NAME, CHAMPION, version.version)
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = "; ".join([f"version {version.version} after {previous or 'none'}", *lines])
    client.set_registered_model_tag(MODEL_NAME, f"champion.{time}", text)
    client.set_model_version_tag(MODEL_NAME, version.version, "promotion", text)
    return Change(str(version.version), str(version.tags.get("bundle_id")), previous, lines[1:])


def _find(client: Any, wanted: str) -> Any:
    """The version of a number, of a bundle's path, or of an alias."""
    if Path(wanted).exists() and not wanted.isdecimal():
        bundle_id = identify_bundle(Path(wanted)).bundle_id
        number = version_of(client, bundle_id)
        if number is None:
            raise DataError(f"bundle {bundle_id} is not registered", where=wanted, todo=_REBUILD)
        wanted = number
    found = _version(client, wanted) if wanted.isdecimal() else _by_alias(client, wanted)
    if found is None:
        numbers = sorted(int(version.version) for version in client.search_model_versions(f"name = '{MODEL_NAME}'"))
        known = f"it has the versions {', '.join(map(str, numbers))}" if numbers else "it has no version"
        raise DataError(
            f"{MODEL_NAME} has no version or alias {wanted!r}, and there is no such bundle; {known}",
            where=wanted,
            todo="name one of them" if numbers else _REBUILD,
        )
    return found


def _version(client: Any, number: str) -> Any | None:
    found = client.search_model_versions(f"name = '{MODEL_NAME}' and version_number = {number}")
    return client.get_model_version(MODEL_NAME, number) if found else None


def _by_alias(client: Any, alias: str) -> Any | None:
    """The version with an alias, with its tags."""
    models = client.search_registered_models(f"name = '{MODEL_NAME}'")
    number = models[0].aliases.get(alias) if models else None
    return None if number is None else client.get_model_version(MODEL_NAME, number)


def _require_whole(store: Store, version: Any) -> None:
    """Loads the bundle as a clinic would: hashes and self-test."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{MODEL_NAME}/{version.version}/data"
        place = Path(download_artifacts(uri, dst_path=folder, tracking_uri=store.uri, registry_uri=store.registry_uri))
        (root,) = place.iterdir()
        bundle_id = read_bundle(root, threads=1).bundle_id
    if bundle_id != version.tags.get("bundle_id"):
        raise BundleError(
            f"version {version.version} holds bundle {bundle_id}, not {version.tags.get('bundle_id')} as its tag says",
            where=f"{MODEL_NAME} at {without_credentials(store.uri)}",
            todo="register the bundle again",
        )


@contextmanager
def _answering(store: Store) -> Iterator[None]:
    """Turns MLflow's errors into one that names the store without its password."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise EnvironmentProblem(
            f"the MLflow store refuses: {without_credentials(str(error))}",
            where=without_credentials(store.uri),
            todo="check the server and its log; `dr-pipeline track rebuild` brings the store up to date",
        ) from error
