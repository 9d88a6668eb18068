"""The work of scoring as an engine does it: from an entry of a listing to its score.

The libraries of the work are imported where it is set up: the process that starts the workers needs none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dr_pipeline.errors import BundleError, EnvironmentProblem, ImageError
from dr_pipeline.schema import Status
from dr_pipeline.scoring.score import Score, failed
from dr_pipeline.scoring.sources.entry import Entry

if TYPE_CHECKING:
    from dr_pipeline.scoring.scorer import Prepared, Scorer


@dataclass(frozen=True)
class ScoringTask:
    """Scores entries with a bundle that each worker loads and verifies itself.

    Attributes:
        bundle: The bundle's folder.
        bundle_id: The run's: a worker that starts later must find the same bundle.
        site: The site of the photographs; empty where unknown.
        dicom_salt: Where DICOM headers are asked for the person, the salt of the pseudonyms; else empty.
        places: The bundle, and the folders of the photographs.
        lesions: Whether lesions are looked for, with the bundle's lesions.onnx.
    """

    bundle: Path
    bundle_id: str
    site: str = ""
    dicom_salt: str = ""
    places: tuple[Path, ...] = ()
    lesions: bool = False
    modules: ClassVar[tuple[str, ...]] = (
        "dr_pipeline.engines.local",
        "dr_pipeline.scoring.scorer",
        "dr_pipeline.scoring.sources.dicom_person",
        "dr_pipeline.scoring.sources.read",
        "onnxruntime",
    )

    def setup(self) -> Callable[[Entry], Score]:
        """Loads the bundle; see `scorer`."""
        scorer = self.scorer()
        return lambda entry: score_entry(entry, scorer.score, dicom_salt=self.dicom_salt)

    def scorer(self, device: str = "cpu") -> "Scorer":
        """Loads the bundle, its network onto a device (`dr_pipeline.bundle.session.Device`).

        Raises:
            EnvironmentProblem: There is no such device.
            BundleError: A file is missing, unknown or altered; the self-test fails; it is another bundle by now.
            DataError: No threshold was fitted for `site`.
        """
        from dr_pipeline.bundle.session import Device
        from dr_pipeline.scoring.scorer import Scorer

        scorer = Scorer.from_bundle(self.bundle, threads=1, site=self.site, device=Device(device), lesions=self.lesions)
        if scorer.bundle_id != self.bundle_id:
            raise BundleError(
                f"the bundle was changed during the run: {scorer.bundle_id} instead of {self.bundle_id}",
                where=str(self.bundle),
                todo="put the bundle back and run again with --resume",
            )
        return scorer

    def failed(self, _entry: Entry, reason: str) -> Score:
        """The score of an entry whose worker hung or died."""
        return failed(reason)


@dataclass(frozen=True)
class _PartOfScoring:
    """Other work with the bundle and the options of a `ScoringTask`.

    Attributes:
        scoring: The bundle and its options.
    """

    scoring: ScoringTask

    @property
    def modules(self) -> tuple[str, ...]:
        """What the work imports."""
        return self.scoring.modules

    @property
    def places(self) -> tuple[Path, ...]:
        """The bundle, and the folders of the photographs."""
        return self.scoring.places


@dataclass(frozen=True)
class PreparationTask(_PartOfScoring):
    """All of `ScoringTask` before the network, for a network that takes batches from all workers."""

    def setup(self) -> Callable[[Entry], "Prepared"]:
        """Loads the bundle; see `ScoringTask.scorer`."""
        from dr_pipeline.scoring.scorer import Prepared

        scorer, salt = self.scoring.scorer(), self.scoring.dicom_salt

        def prepare(entry: Entry) -> Prepared:
            inputs = None

            def score(data: bytes) -> Score:
                nonlocal inputs
                prepared = scorer.prepare(data)
                inputs = prepared.inputs
                return prepared.score

            result = score_entry(entry, score, dicom_salt=salt)
            return Prepared(result, None if result.status is Status.FAILED else inputs)

        return prepare

    def failed(self, _entry: Entry, reason: str) -> "Prepared":
        """The score of an entry whose worker hung or died."""
        from dr_pipeline.scoring.scorer import Prepared

        return Prepared(failed(reason), None)


@dataclass(frozen=True)
class PhotographTask(_PartOfScoring):
    """Scores photographs that come as bytes, as `ScoringTask` does those of files."""

    def setup(self) -> Callable[[bytes], Score]:
        """Loads the bundle; see `ScoringTask.scorer`."""
        scorer = self.scoring.scorer()
        return lambda data: score_bytes(lambda: data, scorer.score, dicom_salt=self.scoring.dicom_salt)

    def failed(self, _data: bytes, reason: str) -> Score:
        """The score of a photograph whose worker hung or died."""
        return failed(reason)


def score_entry(entry: Entry, score: Callable[[bytes], Score], *, dicom_salt: str = "") -> Score:
    """Scores one file of a listing; any fault of it becomes a reason, and the next file is scored.

    Raises:
        EnvironmentProblem: The store of the files gives nothing any more.
    """
    from dr_pipeline.scoring.sources.read import read_entry

    return score_bytes(lambda: read_entry(entry), score, dicom_salt=dicom_salt)


def score_bytes(read: Callable[[], bytes], score: Callable[[bytes], Score], *, dicom_salt: str = "") -> Score:
    """Scores the bytes that `read` returns; any fault of the file becomes a reason."""
    from dr_pipeline.scoring.sources.dicom_person import person_of_header

    try:
        data = read()
        scored = score(data)
        return replace(scored, person=person_of_header(data, salt=dicom_salt)) if dicom_salt else scored
    except ImageError as error:
        return failed(error.what)
    except EnvironmentProblem:
        raise
    except Exception as error:  # one file must not end a night's run over a clinic's folder; its row has the reason
        return failed(f"internal error, please report it: {type(error).__name__}: {error}")
