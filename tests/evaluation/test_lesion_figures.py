"""Thresholds are fitted on other folds, counts are of components, and what was not annotated gives no figure."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.lesion_evidence import (
    THRESHOLDS,
    LesionEvidence,
    Places,
    find_places,
    photograph_evidence,
    segment,
)
from dr_pipeline.evaluation.lesion_figures import (
    OperatingPoints,
    fit_operating_points,
    lesion_figures,
    require_every_kind,
)
from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.lesions.kinds import HARD_EXUDATES, HEMORRHAGES, OPTIC_DISC, plane
from dr_pipeline.params.evaluation import Evaluation
from tests.factories.lesion_sets import CANVAS_PX, KINDS, draw

EVALUATION = Evaluation(bootstrap_replicates=100, bootstrap_seed=1, confidence=0.95, two_eye_fusion=False)
BOTH = frozenset(kind.name for kind in KINDS)


def evidence(
    number: int,
    *,
    certainty: float = 0.9,
    dots: int | None = None,
    labelled: frozenset[str] = BOTH,
    speck: int = 0,
    speck_certainty: float | None = None,
) -> LesionEvidence:
    """A network that outlines every dot, with a false component of `speck` px besides."""
    _, masks = draw(number, dots=min(number, 3) if dots is None else dots)
    maps = np.stack([np.where(plane(masks, kind), certainty, 0.01) for kind in KINDS]).astype(np.float32)
    maps[:, 20, 60 : 60 + speck] = certainty if speck_certainty is None else speck_certainty
    kinds = photograph_evidence(maps, masks, KINDS, labelled)
    return LesionEvidence(f"p{number}", f"p{number}", number % 2, kinds)


def test_components_touch_at_corners_and_the_largest_come_first() -> None:
    shown = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], np.bool_)
    probability = np.where(shown, 0.6, 0.1).astype(np.float32)
    probability[1, 1] = 0.9
    areas, peaks = find_places(probability, 0.5)
    assert areas.tolist() == [3, 2]
    assert peaks.tolist() == pytest.approx([0.6, 0.9])
    assert [len(part) for part in find_places(probability, 0.95)] == [0, 0]


def test_a_network_that_is_right_has_full_figures() -> None:
    figures = lesion_figures([evidence(number) for number in range(8)], KINDS, EVALUATION)
    for kind in BOTH:
        one = figures["kinds"][kind]
        assert one["aupr"]["value"] == one["dice"]["value"] == one["count_within_1"]["value"] == 1
        assert (one["photographs"], one["photographs_that_show_it"]) == (8, 7)
        assert one["false_components"]["value"] == 0
    assert figures["false_components_without_lesions"]["n"] == 1  # the first shows nothing


def test_the_photograph_that_outweighs_the_others_is_stated() -> None:
    small = [evidence(number, dots=1, speck=5) for number in range(4)]
    missed = evidence(5, dots=8, certainty=0.005)  # most of the pixels, none of them found
    figures = lesion_figures([*small, missed], KINDS, EVALUATION)["kinds"][HARD_EXUDATES.name]
    dots = [len(one.kinds[HARD_EXUDATES.name].true_areas) for one in (*small, missed)]
    areas = [int(one.kinds[HARD_EXUDATES.name].pixels[1].sum()) for one in (*small, missed)]
    assert dots == [1, 1, 1, 1, 8]
    assert figures["largest_photograph"]["share"] == pytest.approx(areas[-1] / sum(areas), abs=1e-4)
    without = figures["largest_photograph"]["aupr_without"]
    assert without["n"] == 4
    assert without["value"] > figures["aupr"]["value"]
    nowhere = lesion_figures([evidence(number, dots=0) for number in range(4)], KINDS, EVALUATION)["kinds"]
    assert nowhere[HARD_EXUDATES.name]["largest_photograph"] is None


def test_small_false_components_are_left_out_by_size() -> None:
    photographs = [evidence(number, speck=5) for number in range(8)]
    points = fit_operating_points(photographs, KINDS)
    assert set(points.min_pixels.values()) == {6}
    assert points.count(HARD_EXUDATES.name, photographs[0].kinds[HARD_EXUDATES.name]) == 0
    keep_all = OperatingPoints(points.thresholds, dict.fromkeys(points.min_pixels, 1), points.thresholds)
    assert keep_all.count(HARD_EXUDATES.name, photographs[0].kinds[HARD_EXUDATES.name]) == 1


def with_places(photograph: LesionEvidence, places: Places, true_areas: NDArray[np.int64]) -> LesionEvidence:
    """A photograph whose exudates are these."""
    exudates = photograph.kinds[HARD_EXUDATES.name]
    exudates = replace(exudates, true_areas=true_areas, found=(places,) * len(THRESHOLDS))
    return replace(photograph, kinds={HARD_EXUDATES.name: exudates})


def test_false_components_as_large_as_a_lesion_are_left_out_by_their_peak() -> None:
    places = Places(np.array([60, 60]), np.array([0.6, 0.9], np.float32))
    photographs = [with_places(evidence(number, dots=1), places, np.array([60])) for number in range(4)]
    points = fit_operating_points(photographs, [HARD_EXUDATES])
    assert points.min_pixels[HARD_EXUDATES.name] == 1
    assert 0.6 < points.min_peaks[HARD_EXUDATES.name] <= 0.9
    assert points.count(HARD_EXUDATES.name, photographs[0].kinds[HARD_EXUDATES.name]) == 1


def test_a_false_lesion_weighs_more_where_there_is_none_than_among_many() -> None:
    # specks of 5 px are false in three photographs without a lesion, and nine are true in one with many
    none = [evidence(number, dots=0, speck=5) for number in (0, 2, 4)]
    specks = Places(np.array([100, *[5] * 9]), np.full(10, 0.9, np.float32))
    points = fit_operating_points([*none, with_places(evidence(1), specks, specks.areas)], [HARD_EXUDATES])
    assert 5 < points.min_pixels[HARD_EXUDATES.name] <= 100  # 3 for the false, √10 - 1 for the missed


def test_a_fold_is_measured_with_thresholds_of_the_others() -> None:
    # networks that are sure of nothing above 0.3 in one fold and 0.9 in the other: neither's threshold fits the other
    photographs = [evidence(number, certainty=0.9 if number % 2 else 0.3, dots=2) for number in range(8)]
    assert fit_operating_points(photographs[1::2], KINDS).thresholds[HARD_EXUDATES.name] == THRESHOLDS[0]
    sharp = [evidence(number, certainty=0.9, dots=2) for number in (1, 3)]
    noisy = [LesionEvidence(f"q{k}", f"q{k}", 0, evidence(k, certainty=0.04, dots=2).kinds) for k in (0, 2)]
    figures = lesion_figures([*sharp, *noisy], KINDS, EVALUATION)
    assert figures["kinds"][HARD_EXUDATES.name]["dice"]["value"] < 1


def test_what_was_not_annotated_gives_no_figure() -> None:
    only = frozenset({HARD_EXUDATES.name})
    photographs = [evidence(number) for number in range(1, 5)] + [evidence(number, labelled=only) for number in (5, 6)]
    figures = lesion_figures(photographs, KINDS, EVALUATION)
    assert figures["kinds"][HARD_EXUDATES.name]["photographs"] == 6
    assert figures["kinds"][HEMORRHAGES.name]["photographs"] == 4
    assert figures["false_components_without_lesions"]["n"] == 0
    assert figures["false_components_without_lesions"]["value"] is None


def test_one_fold_and_a_kind_without_photographs_are_refused() -> None:
    with pytest.raises(DataError, match="1 fold, needs two"):
        lesion_figures([evidence(0), evidence(2)], KINDS, EVALUATION)
    points = fit_operating_points([evidence(1)], (*KINDS, OPTIC_DISC))
    with pytest.raises(DataError, match="no photograph shows optic_disc"):
        require_every_kind(points, (*KINDS, OPTIC_DISC))


def test_a_kind_that_one_fold_alone_shows_has_its_area_and_no_count_there() -> None:
    photographs = [evidence(number, dots=2 * (number % 2)) for number in range(8)]
    figures = lesion_figures(photographs, KINDS, EVALUATION)["kinds"][HARD_EXUDATES.name]
    assert (figures["aupr"]["value"], figures["aupr"]["n"]) == (1, 8)
    assert (figures["dice"]["n"], figures["count_within_1"]["n"]) == (4, 4)


class _Bright(nn.Module):
    """Logits that rise with the blue channel: a network without borders."""

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("unused", nn.Parameter())

    def forward(self, image: Tensor) -> Tensor:
        return (image[..., 2:].permute(0, 3, 1, 2).float() - 80) / 10


def network_map(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return segment(_Bright(), pixels, tile_px=48, overlap=0.25)


def test_tiles_join_without_seams_and_nothing_is_found_outside_the_disc() -> None:
    pixels = np.full((CANVAS_PX, CANVAS_PX, 3), 90, np.uint8)
    found = network_map(pixels)
    inside = disc_mask(CANVAS_PX) > 0
    assert found.shape == (1, CANVAS_PX, CANVAS_PX)
    np.testing.assert_allclose(found[0][inside], 1 / (1 + np.exp(-1)), atol=1e-5)
    assert not found[0][~inside].any()


def test_nothing_is_found_where_there_is_no_retina() -> None:
    pixels = np.full((CANVAS_PX, CANVAS_PX, 3), 90, np.uint8)
    cut_off = np.s_[: CANVAS_PX // 10]
    pixels[cut_off] = 0
    (found,) = network_map(pixels)
    assert found[cut_off].max() == 0
    assert found[CANVAS_PX // 2, CANVAS_PX // 2] > 0.5
