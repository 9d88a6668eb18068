"""Registers a bundle that no `dvc repro` packed here, such as a site's child, which names its parent's version."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.verify import verify_weights
from dr_pipeline.bundle_storage import as_folder
from dr_pipeline.errors import DataError
from dr_pipeline.metrics.intervals import format_estimate, is_estimate
from dr_pipeline.tracking.registry import add_version, ensure_champion, place_of, version_of, version_of_bundle
from dr_pipeline.tracking.store import Store
from dr_pipeline.tracking.versions import answering

# Entries of metadata.json that make a bundle a child, the nearest parent first: an adapted one may be recalibrated.
_KINDS = ("recalibration", "adaptation")


@dataclass(frozen=True)
class Registered:
    """A version of the registry.

    Attributes:
        version: Its number.
        bundle_id: Its bundle.
        parent: Version number of the bundle that it was made from; "" where it is nobody's child.
        is_new: Whether it was not registered before.
    """

    version: str
    bundle_id: str
    parent: str
    is_new: bool


def register_bundle(store: Store, root: Path) -> Registered:
    """Registers a bundle as the newest version, with its own run; a bundle that is there already stays as it is.

    It becomes the champion where there is none.

    The tags of a child's version have the parent's bundle id and version, its site, and the figures of its making.

    Args:
        store: The registry.
        root: The bundle: its folder, or a `.drbundle` file.

    Raises:
        BundleError: The bundle is damaged.
        DataError: It is a child, and its parent is not registered.
        EnvironmentProblem: The store refuses, or there is no champion and a promotion does not end.
    """
    bundle = read_bundle(root, threads=1)
    verify_weights(root)
    with answering(store), as_folder(root) as folder:
        kind = next((kind for kind in _KINDS if kind in bundle.metadata), "bundle")
        parent, tags = _parent_tags(store, bundle.metadata, kind, root)
        if found := version_of_bundle(store.client, root):
            ensure_champion(store, found)  # an earlier registration may have ended before it did
            return Registered(found, bundle.bundle_id, parent, is_new=False)
        run = store.create(f"{kind} {bundle.bundle_id}", {"dr.item": kind, "bundle_id": bundle.bundle_id, **tags})
        number = add_version(store, run.run_id, folder, bundle.bundle_id, tags)
        run.end("FINISHED")
        return Registered(number, bundle.bundle_id, parent, is_new=True)


def _parent_tags(store: Store, metadata: Mapping[str, Any], kind: str, root: Path) -> tuple[str, dict[str, str]]:
    """The parent's version, and the tags of its child; none of either where it has no parent."""
    if kind not in metadata:
        return "", {}
    made = metadata[kind]
    parent = version_of(store.client, made["parent"])
    if parent is None:
        raise DataError(
            f"its parent, bundle {made['parent']}, is not registered in {place_of(store)}",
            where=str(root),
            todo="register the parent first: dr-pipeline track register PARENT",
        )
    tags = {"parent": made["parent"], "parent_version": parent, "made_by": kind}
    figures = {"before": made.get("before"), "after": metadata["validation"] if kind == "recalibration" else None}
    for when, found in figures.items():
        if found and is_estimate(found.get("qwk")):
            tags[f"{kind}.qwk_{when}"] = format_estimate(found["qwk"])
    if made.get("site"):
        tags["site"] = made["site"]
    if "validated" in made:
        tags["validated"] = made["validated"]
    return parent, tags
