"""The comparison: what drifts is named, what does not is not, by camera and site, for batches of any size and mix."""

import numpy as np
import pytest

from dr_pipeline.bundle.reference import Observations, Reference
from dr_pipeline.clinic.drift.batch import Batch, read_batch
from dr_pipeline.clinic.drift.camera_list import read_cameras
from dr_pipeline.clinic.drift.compare import Comparison, Limits, Verdict, compare
from dr_pipeline.clinic.drift.report import detection_sentence, headline, to_dict
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import canonical_json
from dr_pipeline.schema import Status
from dr_pipeline.tables.predictions import write_predictions
from tests.factories.drift import CAMERAS, draw_rows, drift_of, make_reference, observe

REFERENCE = make_reference()


def warned(drift):
    return {(comparison.kind, comparison.group, comparison.measure) for comparison in drift.warnings}


def test_a_batch_like_the_reference_is_stable(tmp_path):
    drift = drift_of(tmp_path, draw_rows(2, 100), REFERENCE)
    assert drift.verdict is Verdict.STABLE
    assert "stable" in headline(drift)
    assert {comparison.kind for comparison in drift.comparisons} == {"all", "camera", "site"}


def test_false_warnings_are_rare():
    """Batches without drift, each with a reference of its own."""
    verdicts = []
    for seed in range(10, 50, 2):
        reference, batch = make_reference(60, seed=seed), observe(draw_rows(seed + 1, 30))
        verdicts.append(compare(Batch("", "", "", batch, {}, 0), reference).verdict)
    assert sum(verdict is not Verdict.STABLE for verdict in verdicts) <= 2


def test_a_darker_camera_is_named_and_the_other_is_not(tmp_path):
    rows = draw_rows(2, 60, cameras=["Topcon NW400"], brighter=-15) + draw_rows(3, 60, cameras=["Canon CR-2"])
    drift = drift_of(tmp_path, rows, REFERENCE)
    assert drift.verdict is Verdict.DRIFT
    assert ("camera", "Topcon NW400", "brightness") in warned(drift)
    assert {group for _, group, measure in warned(drift) if measure == "brightness"} <= {"", "Topcon NW400", "hill"}
    assert {measure for _, _, measure in warned(drift)} == {"brightness"}
    assert "brightness" in headline(drift)
    assert "camera Topcon NW400" in headline(drift)


def test_a_clinic_with_one_of_the_cameras_has_not_drifted(tmp_path):
    """Against all photographs its brightness and resolution would differ; against its own camera's they do not."""
    drift = drift_of(tmp_path, draw_rows(2, 100, cameras=["Canon CR-2"]), REFERENCE)
    assert drift.verdict is Verdict.STABLE
    assert drift.mix == "the reference in the batch's own mix of cameras"
    unnamed = drift_of(tmp_path, draw_rows(2, 100, cameras=["Canon CR-2"], named=False), REFERENCE)
    assert {"brightness", "megapixels"} <= {measure for _, _, measure in warned(unnamed)}
    assert unnamed.mix == "all photographs of the reference"


def test_a_rate_that_rises_is_named(tmp_path):
    drift = drift_of(tmp_path, draw_rows(2, 100, rejected=0.3), REFERENCE)
    assert ("all", "", "rejected") in warned(drift)
    assert "rejected as ungradable" in headline(drift)


def test_unknown_cameras_are_counted_and_warned_of(tmp_path):
    rows = draw_rows(2, 100) + draw_rows(3, 6, cameras=["Acme <b>1</b>"])
    drift = drift_of(tmp_path, rows, REFERENCE)
    assert drift.cameras.unknown == {"Acme <b>1</b>": 12}
    assert drift.verdict is not Verdict.STABLE
    assert "12 photographs of cameras that are not in the reference" in headline(drift)
    assert "12 photographs; the reference has too few of it" in drift.left_out["camera Acme <b>1</b>"]


def test_a_list_of_cameras_decides(tmp_path):
    path = tmp_path / "cameras.txt"
    path.write_text("# ours\n\n  Topcon   NW400 \n")
    drift = drift_of(tmp_path, draw_rows(2, 100), REFERENCE, cameras=read_cameras(path))
    assert set(drift.cameras.unknown) == {"Canon CR-2"}
    path.write_text("# none\n")
    with pytest.raises(DataError, match="names no camera"):
        read_cameras(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_cameras(tmp_path / "none.txt")


def test_without_names_cameras_are_not_checked(tmp_path):
    unnamed = Reference.of(observe(draw_rows(1, 100, named=False)), {})
    drift = drift_of(tmp_path, draw_rows(2, 30), unnamed)
    assert (drift.cameras.allowed, drift.cameras.unknown) == ("", {})
    assert sum(drift.cameras.counts.values()) == 60


def test_many_photographs_do_not_warn_of_nothing():
    """A fifth of a standard deviation is significant in 20,000 patients and matters to nobody."""
    rng = np.random.default_rng(0)
    ids, empty = np.arange(20_000).astype(str).astype(object), np.full(20_000, "", dtype=object)
    reference, shifted = (
        Observations({"brightness": rng.normal(mean, 10, 20_000)}, ids, empty, empty) for mean in (90, 92)
    )
    drift = compare(Batch("", "", "", shifted, {}, 0), Reference.of(reference, {}))
    assert drift.comparisons[0].p_value < 1e-9
    assert drift.verdict is Verdict.STABLE


@pytest.mark.parametrize("patients", [1, 3])
def test_a_small_batch_says_that_it_detects_nothing(tmp_path, patients):
    drift = drift_of(tmp_path, draw_rows(2, patients), REFERENCE)
    assert drift.verdict is Verdict.STABLE
    assert "too few" in detection_sentence(drift)
    canonical_json(to_dict(drift, REFERENCE))  # holds no infinity, which JSON has not


def test_a_larger_batch_says_what_it_detects(tmp_path):
    drift = drift_of(tmp_path, draw_rows(2, 100), REFERENCE)
    assert "With 100 patients a shift of 0." in detection_sentence(drift)


def test_what_was_not_measured_is_not_compared(tmp_path):
    drift = drift_of(tmp_path, draw_rows(2, 50, brightness=None, quality=None), REFERENCE)
    assert not {"brightness", "quality"} & {each.measure for each in drift.comparisons}
    assert drift.verdict is Verdict.STABLE


def test_duplicates_and_what_shows_no_fundus_are_in_no_comparison(tmp_path):
    rows = draw_rows(2, 30)
    grade = {"grade": None, "probabilities": None, "expected_grade": None, "referable_probability": None}
    rows += draw_rows(3, 40, status=Status.NOT_FUNDUS, rejected=1.0, **grade) + draw_rows(4, 40, duplicate_of="x")
    batch = drift_of(tmp_path, rows, REFERENCE).batch
    assert len(batch.observed) == 60
    assert batch.by_status[Status.NOT_FUNDUS] == 80
    assert batch.duplicates == 80


def test_batches_that_cannot_be_compared_are_refused(tmp_path):
    path = tmp_path / "p.csv"
    write_predictions(path, draw_rows(1, 3, status=Status.FAILED, rejected=1.0))
    with pytest.raises(DataError, match="no photograph to compare"):
        read_batch(path)
    write_predictions(path, draw_rows(1, 3) + draw_rows(2, 3, bundle_id="other"))
    with pytest.raises(BundleError, match="was scored with bundle other"):
        read_batch(path, bundle_id="b" * 16)
    with pytest.raises(BundleError, match="was scored with bundle"):
        read_batch(path)
    write_predictions(path, [])
    with pytest.raises(DataError, match="no photograph to compare"):
        read_batch(path)


@pytest.mark.parametrize(
    ("measure", "effect", "p_value", "verdict"),
    [
        ("brightness", 0.3, 0.2, Verdict.STABLE),  # large, but may be chance
        ("brightness", 0.05, 1e-9, Verdict.STABLE),  # certain, but small
        ("brightness", 0.2, 0.01, Verdict.WATCH),
        ("brightness", 0.3, 0.01, Verdict.DRIFT),
        ("rejected", 0.04, 0.01, Verdict.STABLE),
        ("rejected", 0.07, 0.01, Verdict.WATCH),
        ("rejected", 0.2, 0.01, Verdict.DRIFT),
    ],
)
def test_the_limits_decide(measure, effect, p_value, verdict):
    comparison = Comparison("all", "", measure, 1, 1, 1, 1, (), (), None, effect, p_value)
    assert Limits().verdict(comparison) is verdict


def test_a_shift_of_a_pixel_is_none(tmp_path):
    """The radius of one camera's retinas hardly varies: a shift of a pixel is certain, and of no consequence."""
    reference = Reference.of(observe(draw_rows(1, 100, disc_radius=900.0)), {})
    assert drift_of(tmp_path, draw_rows(2, 100, disc_radius=901.0), reference).verdict is Verdict.STABLE
    assert drift_of(tmp_path, draw_rows(2, 100, disc_radius=950.0), reference).verdict is Verdict.DRIFT


def test_cameras_of_the_factory_have_the_looks_they_are_tested_for():
    medians = {
        camera: np.nanmedian([row.brightness for row in draw_rows(1, 100, cameras=[camera])]) for camera in CAMERAS
    }
    assert medians["Canon CR-2"] - medians["Topcon NW400"] > 20
