"""The fingerprint: right figures, of development photographs only, and refusals where a stage has not run."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError
from dr_pipeline.files import write_json
from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.planning import plan_inputs
from dr_pipeline.planning.fingerprint import Fingerprint, measure_colours, read_fingerprint, sample
from dr_pipeline.planning.plan_inputs import this_machine
from dr_pipeline.tables.manifest import read_manifest, write_manifest
from dr_pipeline.tables.splits import read_splits, write_splits
from tests.factories.planning_study import COLOUR, write_study


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return write_study(tmp_path)


def read(paths: dict[str, Path]) -> Fingerprint:
    return read_fingerprint(**{name: paths[name] for name in ("audited", "splits", "canvases", "gradability")})


def test_the_test_part_is_not_read(paths: dict[str, Path]) -> None:
    data = read(paths)
    assert data.photographs == 32
    assert data.validation_photographs == 16
    assert data.by_grade == (8, 8, 8, 8, 0)  # grade 4 is in the test part alone
    assert data.groups_by_grade == (4, 4, 4, 4, 0)
    assert data.patients == 16
    assert data.cameras == {"a": 16, "b": 16}
    assert data.sites == {"": 32}
    assert data.megapixels == (0.48, 0.48, 0.48)
    assert data.disc_px == (581.0, 581.0, 581.0)
    assert (data.imbalance, data.rarest_groups) == (1.0, 4)
    assert data.ungradable_share is None
    assert data.colours.mean == tuple(round(value / 255, 4) for value in COLOUR)
    assert data.colours.std == (0.0, 0.0, 0.0)


def test_gradability_is_read_where_it_has_run(paths: dict[str, Path]) -> None:
    write_json(paths["gradability"], {"gradability": {"development": {"all": {"value": 0.125}}}})
    assert read(paths).ungradable_share == 0.125


@pytest.mark.parametrize(("name", "stage"), [("audited", "audit"), ("splits", "split"), ("canvases", "preprocess")])
def test_a_stage_that_has_not_run_is_named(paths: dict[str, Path], name: str, stage: str) -> None:
    (paths[name] / "index.csv" if name == "canvases" else paths[name]).unlink()
    with pytest.raises(DataError, match=rf"the stage {stage} has not run(.|\n)*dvc repro split"):
        read(paths)


def test_tables_that_do_not_fit_together_are_refused(paths: dict[str, Path]) -> None:
    write_manifest(paths["audited"], read_manifest(paths["audited"])[1:])
    with pytest.raises(DataError, match="1 photographs of the split are not here, such as '000-left'"):
        read(paths)


def test_a_split_without_development_photographs_is_refused(paths: dict[str, Path]) -> None:
    write_splits(paths["splits"], [row for row in read_splits(paths["splits"]) if row.split == "test"])
    with pytest.raises(DataError, match="no development photograph"):
        read(paths)


class Store:
    def __init__(self, canvases: dict[str, np.ndarray]) -> None:
        self.canvases = canvases

    def read(self, image_id: str) -> np.ndarray:
        return self.canvases[image_id]


def test_colours_are_those_inside_the_disc() -> None:
    rng = np.random.default_rng(0)
    canvases = {name: rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for name in "abc"}
    inside = np.stack([canvas[disc_mask(32) > 0] for canvas in canvases.values()]) / 255
    for canvas in canvases.values():
        canvas[disc_mask(32) == 0] = 255  # what is outside does not count
    measured = measure_colours(Store(canvases), list(canvases))
    assert measured.photographs == 3
    assert measured.mean == pytest.approx(inside.mean((0, 1)), abs=1e-4)
    assert measured.std == pytest.approx(inside.std((0, 1)), abs=1e-4)
    assert measured.spread == pytest.approx(inside.mean(1).std(0), abs=1e-4)
    with pytest.raises(ValueError, match="at least one"):
        measure_colours(Store(canvases), [])


@given(st.lists(st.text(max_size=5), unique=True), st.integers(1, 5), st.randoms())
def test_the_sample_does_not_depend_on_the_order(names: list[str], count: int, random: object) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sample(names, count) == sample(shuffled, count)
    assert len(sample(names, count)) == min(count, len(names))


def test_the_plan_counts_what_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_inputs, "usable_memory", lambda: 3 << 29)
    monkeypatch.setattr(plan_inputs, "usable_cores", lambda: 7)
    assert (this_machine().cores, this_machine().memory_gib) == (7, 1.5)
