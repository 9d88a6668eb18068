"""Kinds of lesions: bits, colours and names are distinct, and planes are read as they were written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dr_pipeline.errors import DataError
from dr_pipeline.lesions.kinds import KINDS, Kind, kinds_named, plane, with_plane


def test_names_bits_colours_and_abbreviations_are_distinct() -> None:
    for attribute in ("name", "bit", "colour", "abbreviation"):
        assert len({getattr(kind, attribute) for kind in KINDS}) == len(KINDS)


def test_the_bits_of_stored_masks_never_change() -> None:
    assert {kind.abbreviation: kind.bit for kind in KINDS} == {
        "MA": 0, "HE": 1, "EX": 2, "SE": 3, "IRMA": 4, "VB": 5, "NV": 6, "PRH": 7, "FP": 8, "OD": 9, "FOVEA": 10,
    }  # fmt: skip


@given(masks=arrays(np.uint16, (5, 7)), shown=arrays(np.bool_, (5, 7)), kind=st.sampled_from(KINDS))
def test_a_plane_is_added_and_the_others_are_kept(masks: np.ndarray, shown: np.ndarray, kind: Kind) -> None:
    both = with_plane(masks, kind, shown)
    assert np.array_equal(plane(both, kind), plane(masks, kind) | shown)
    for other in KINDS:
        if other != kind:
            assert np.array_equal(plane(both, other), plane(masks, other))


def test_unknown_and_repeated_kinds_are_refused() -> None:
    assert [kind.abbreviation for kind in kinds_named(["hard_exudates", "optic_disc"], where="params.yaml")] == [
        "EX",
        "OD",
    ]
    for names in (["hard_exudates", "hard_exudates"], ["drusen"]):
        with pytest.raises(DataError, match="kind of lesion") as caught:
            kinds_named(names, where="params.yaml, lesions.kinds")
        assert "microaneurysms" in str(caught.value)
