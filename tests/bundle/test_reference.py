"""The bundle's reference: what it keeps, what it leaves out, what it refuses; version 2 bundles have none."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline import cli
from dr_pipeline.bundle.bundle_files import CONTENT, METADATA, REFERENCE, SUMS, sums_text
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.reference import MIN_PATIENTS, Distribution, Group, Observations, Reference, read_reference
from dr_pipeline.errors import BundleError
from dr_pipeline.schema import BUNDLE_VERSION
from tests.factories.bundles import make_bundle
from tests.factories.drift import draw_rows, make_reference, observe


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release", reference=make_reference())


def test_it_comes_back_as_it_was_written(bundle):
    assert read_reference(bundle) == make_reference()
    assert read_bundle(bundle, threads=1).metadata["schema_version"] == BUNDLE_VERSION


def test_a_bundle_may_lack_it_and_its_id_does_not_depend_on_it(bundle, tmp_path):
    without = make_bundle(tmp_path / "without")
    assert read_reference(without) is None
    assert read_bundle(without, threads=1).bundle_id == read_bundle(bundle, threads=1).bundle_id
    shutil.rmtree(without / "configs")
    metadata = without / METADATA
    metadata.write_text(metadata.read_text().replace(f'"schema_version": {BUNDLE_VERSION}', '"schema_version": 2'))
    (without / SUMS).write_text(sums_text({name: (without / name).read_bytes() for name in CONTENT}))
    assert read_bundle(without, threads=1).metadata["schema_version"] == 2


@pytest.mark.parametrize("change", ["altered", "missing", "not listed"])
def test_an_altered_or_lost_one_is_refused(bundle, tmp_path, change):
    broken = shutil.copytree(bundle, tmp_path / "broken")
    if change == "altered":
        (broken / REFERENCE).write_text((broken / REFERENCE).read_text().replace("drawn", "other"))
    elif change == "missing":
        (broken / REFERENCE).unlink()
    else:
        kept = [line for line in (broken / SUMS).read_text().splitlines() if REFERENCE not in line]
        (broken / SUMS).write_text("\n".join(kept) + "\n")
    with pytest.raises(BundleError, match=REFERENCE):
        read_bundle(broken, threads=1)
    if change != "not listed":
        with pytest.raises(BundleError, match=REFERENCE):
            read_reference(broken)


def test_verify_counts_it(bundle, capsys):
    assert cli.main(["verify", str(bundle)]) == 0
    assert "files: 7 match SHA256SUMS" in capsys.readouterr().out


@pytest.mark.parametrize(
    "path", [("overall",), ("overall", "measures", "brightness", "quantiles"), ("camera_counts",), ("sites",)], ids=str
)
@pytest.mark.parametrize("nonsense", [None, [], {"x": "y"}, [2.0, 1.0], "text"], ids=str)
def test_a_malformed_one_is_refused(path, nonsense):
    value = json.loads(json.dumps(make_reference().to_dict()))
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = nonsense
    with pytest.raises(BundleError, match="unusable"):
        Reference.from_dict(value, where="here")
    with pytest.raises(BundleError, match="schema_version 9"):
        Reference.from_dict(value | {"schema_version": 9}, where="here")


def test_groups_of_few_patients_are_left_out_but_their_cameras_are_known():
    rows = draw_rows(1, 60) + draw_rows(2, MIN_PATIENTS - 1, cameras=["Zeiss Visucam"])
    reference = Reference.of(observe(rows), {})
    assert set(reference.cameras) == {"Topcon NW400", "Canon CR-2"}
    assert reference.camera_counts["Zeiss Visucam"] == 2 * (MIN_PATIENTS - 1)
    assert reference.overall.photographs == len(rows)


def test_it_names_no_patient():
    text = json.dumps(make_reference().to_dict())
    assert "P1-" not in text


@given(st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=300))
def test_a_distribution_is_within_a_hundredth_of_the_values(values):
    distribution = Distribution.of(np.array(values), len(values))
    points = np.unique(values)
    fractions = np.searchsorted(np.sort(values), points, side="right") / len(values)
    assert np.abs(distribution.cdf(points) - fractions).max() <= 0.0051
    assert set(distribution.points) <= set(values)


@given(st.floats(0.05, 0.95))
def test_a_mixture_is_between_its_parts_and_worth_no_more_patients_than_both(share):
    low, high = Distribution.of(np.arange(100.0), 50), Distribution.of(np.arange(100.0) + 1000, 80)
    mixed = Distribution.mixture([(share, low), (1 - share, high)])
    assert mixed.cdf(np.array([500.0]))[0] == pytest.approx(share)
    assert mixed.patients <= 130 + 1e-9
    assert list(mixed.points) == sorted(mixed.points)
    assert Distribution.mixture([(1.0, low)]).quantile(0.5) == low.quantile(0.5)


def test_unknown_patients_count_as_many_as_there_would_be():
    rows = draw_rows(1, 50, patient_id="")
    observed = observe(rows)
    assert Group.of(observed, photographs_per_patient=2.0).patients == 50
    assert Group.of(observed).patients == 100
    assert len(Observations.of([])) == 0
