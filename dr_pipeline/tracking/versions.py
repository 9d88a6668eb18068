"""The versions of `dr-grader`: which one is meant, and its bundle, loaded as a clinic would."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.verify import verify_weights
from dr_pipeline.bundle.write import write_files
from dr_pipeline.bundle_storage import file_names, read_stored
from dr_pipeline.errors import BundleError, DataError, EnvironmentProblem
from dr_pipeline.tracking.registry import MODEL_NAME, place_of, version_of_bundle
from dr_pipeline.tracking.remote import without_credentials
from dr_pipeline.tracking.store import Store

_REGISTER = "run `dr-pipeline track rebuild`, which registers data/release, or `dr-pipeline track register BUNDLE`"


def find_version(client: Any, wanted: str) -> Any:
    """The version of a number, of a bundle's path, or of an alias.

    Raises:
        DataError: There is none.
    """
    if Path(wanted).exists() and not wanted.isdecimal():
        number = version_of_bundle(client, Path(wanted))
        if number is None:
            bundle_id = identify_bundle(Path(wanted)).bundle_id
            raise DataError(f"bundle {bundle_id}, as it is here, is not registered", where=wanted, todo=_REGISTER)
        wanted = number
    found = _version(client, wanted) if wanted.isdecimal() else version_by_alias(client, wanted)
    if found is None:
        numbers = sorted(int(version.version) for version in client.search_model_versions(f"name = '{MODEL_NAME}'"))
        known = f"it has the versions {', '.join(map(str, numbers))}" if numbers else "it has no version"
        raise DataError(
            f"{MODEL_NAME} has no version or alias {wanted!r}, and there is no such bundle; {known}",
            where=wanted,
            todo="name one of them" if numbers else _REGISTER,
        )
    return found


def version_by_alias(client: Any, alias: str) -> Any | None:
    """The version with an alias, with its tags."""
    models = client.search_registered_models(f"name = '{MODEL_NAME}'")
    number = models[0].aliases.get(alias) if models else None
    return None if number is None else client.get_model_version(MODEL_NAME, number)


@contextmanager
def verified_bundle(store: Store, version: Any) -> Iterator[Path]:
    """A copy of a version's bundle, whose hashes and self-test are right; the block has it.

    Raises:
        BundleError: It is damaged, or another one than the version's tag states.
    """
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{MODEL_NAME}/{version.version}/data"
        place = Path(download_artifacts(uri, dst_path=folder, tracking_uri=store.uri, registry_uri=store.registry_uri))
        (root,) = place.iterdir()
        bundle_id = read_bundle(root, threads=1).bundle_id
        verify_weights(root)
        if bundle_id != version.tags.get("bundle_id"):
            raise BundleError(
                f"version {version.version} holds bundle {bundle_id}, not {version.tags.get('bundle_id')} as its tag "
                "says",
                where=place_of(store),
                todo="register the bundle again",
            )
        yield root


def require_whole(store: Store, version: Any) -> None:
    """Raises BundleError as `verified_bundle` does."""
    with verified_bundle(store, version):
        pass


def download_version(store: Store, wanted: str, out: Path) -> Any:
    """Writes a version's bundle into a folder; returns the version.

    Args:
        store: The registry.
        wanted: As in `find_version`.
        out: A folder that is new or empty, or holds a bundle.

    Raises:
        DataError: There is no such version.
        BundleError: The bundle is damaged, or `out` holds something else.
        EnvironmentProblem: The store refuses.
    """
    with answering(store):
        version = find_version(store.client, wanted)
        with verified_bundle(store, version) as root:
            write_files(out, {name: read_stored(root, name) for name in file_names(root)})
        return version


@contextmanager
def answering(store: Store) -> Iterator[None]:
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


def _version(client: Any, number: str) -> Any | None:
    found = client.search_model_versions(f"name = '{MODEL_NAME}' and version_number = {number}")
    return client.get_model_version(MODEL_NAME, number) if found else None
