"""A run: what is scored, with what bundle, to where; and the files that are its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline import __version__
from dr_pipeline.bundle.identity import BundleIdentity, identify_bundle
from dr_pipeline.bundle_storage import require_outside
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import printable
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.scoring.journal import journal_path, own_files
from dr_pipeline.scoring.outputs import beginning_path, lesion_paths, partial_path
from dr_pipeline.scoring.run_manifest import manifest_path
from dr_pipeline.scoring.shards import Shard
from dr_pipeline.scoring.sources.objects import is_address, without_secrets
from dr_pipeline.scoring.sources.people import PeopleSources
from dr_pipeline.scoring.task import ScoringTask

_BRING_BACK = "bring it back, such as a network drive, and run again with --resume"


@dataclass(frozen=True)
class Run:
    """What is scored, with what, to where.

    Attributes:
        sources: Folders, files, archives, lists and addresses.
        bundle: The bundle's folder.
        out: The table to write, .csv, .jsonl or .parquet.
        site: The site whose quality threshold is used; empty: that of all.
        rules: What is left out of folders, and whether links that lead out of them are followed.
        shard: Which part of the listing.
        people: Where patient, eye, visit and site come from.
        device: Where the network runs, `cpu` or `cuda`: on another one, rounding differs.
        lesions: Whether lesions are looked for, which gives a table and outlines beside `out`.

    Raises:
        DataError: The table would lie inside the bundle.
    """

    sources: tuple[str, ...]
    bundle: Path
    out: Path
    site: str = ""
    rules: FolderRules = FolderRules()  # noqa: RUF009 - frozen
    shard: Shard = Shard()  # noqa: RUF009 - frozen
    people: PeopleSources = PeopleSources()  # noqa: RUF009 - frozen
    device: str = "cpu"
    lesions: bool = False

    def __post_init__(self) -> None:
        require_outside(self.out, self.bundle)

    def settings(self, bundle: BundleIdentity) -> dict[str, Any]:
        """What the rows depend on, beside the files: equal in every session of a run."""
        return {
            "dr_pipeline": __version__,
            "bundle": bundle.bundle_id,
            "sources": [printable(without_secrets(source)) for source in self.sources],
            "site": self.site,
            "device": self.device,
            "ignore": list(self.rules.ignore),
            "follow_links": self.rules.follow_links,
            "num_shards": self.shard.count,
            "shard_index": self.shard.index,
            "watch": False,
            **({"lesions": bundle.lesions} if self.lesions else {}),
            **self.people.settings(),
        }

    def task(self, bundle_id: str) -> ScoringTask:
        """The work of an engine."""
        bundle = self.bundle.absolute()  # workers of other machines have other working folders
        folders = tuple(Path(source) for source in self.sources if Path(source).is_dir())
        return ScoringTask(
            bundle, bundle_id, self.site, self.people.dicom_salt, places=(bundle, *folders), lesions=self.lesions
        )


def lies_in(path: Path, sources: Iterable[str]) -> bool:
    """Whether a path lies inside one of the folders."""
    return bool({Path(source).resolve() for source in sources} & set(path.resolve().parents))


def require_same_bundle(run: Run, bundle: BundleIdentity) -> None:
    """Refuses to go on where the bundle's folder now has another bundle than the run began with.

    Raises:
        BundleError: It has.
    """
    if identify_bundle(run.bundle) != bundle:
        raise BundleError(
            "the bundle was changed during the run",
            where=str(run.bundle),
            todo="put the bundle back and run again with --resume",
        )


def devices_of(sources: Iterable[str]) -> dict[str, int]:
    """The device of each folder among the sources: another one, or none, once a network drive is away.

    Raises:
        DataError: There is nothing at a source, be it a folder or a file.
    """
    local = [source for source in sources if not source.startswith("@") and not is_address(source)]
    if gone := next((source for source in local if _device(source) is None), None):
        raise DataError("there is no such folder or file", where=printable(gone), todo=_BRING_BACK)
    return {source: device for source in local if Path(source).is_dir() and (device := _device(source)) is not None}


def require_same_devices(devices: Mapping[str, int]) -> None:
    """Refuses to go on where a folder went away with its drive: every file would be a row that says `missing`.

    Raises:
        DataError: It did.
    """
    for source, device in devices.items():
        if _device(source) != device:
            raise DataError("the folder of the photographs went away", where=printable(source), todo=_BRING_BACK)


def _device(source: str) -> int | None:
    try:
        return Path(source).stat().st_dev
    except OSError:
        return None


def results_of(run: Run) -> tuple[Path, ...]:
    """The files that a finished run leaves, the manifest last; a shard's journal is what `merge` reads."""
    journal = (journal_path(run.out),) if run.shard.count > 1 else ()
    lesions = lesion_paths(run.out) if run.lesions else ()
    return (run.out, *lesions, *journal, manifest_path(run.out))


def own_outputs(out: Path) -> tuple[Path, ...]:
    """The files of the run itself, which get no row."""
    tables = (out, partial_path(out), *lesion_paths(out))
    return (*tables, *map(beginning_path, tables), manifest_path(out), *own_files(out))
