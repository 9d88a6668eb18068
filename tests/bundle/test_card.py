"""MODEL_CARD.md: what the documents state, what only a person knows, and nothing invented."""

import json
from typing import Any

import pytest

from dr_pipeline.bundle.card import OPEN, model_card
from dr_pipeline.bundle.lesions import LesionDescription
from tests.factories.bundles import FIGURE, metadata_of, onnx_model
from tests.factories.lesion_networks import description

DEVELOPMENT = {
    "data_set": {"name": "phantom | <b>", "licence": "CC0"},
    "photographs": 120,
    "patients": 55,
    "photographs_of_unknown_patients": 0,
    "by_grade": {"0": 60, "1": 20, "2": 20, "3": 12, "4": 8},
    "sites": {"hill": 20, "sea": 90, "": 10},
    "cameras": {"": 70, "maker [x](http://y)": 50},
    "formats": {"jpeg": 120},
}
VALIDATION = {
    "qwk": FIGURE,
    "ece": FIGURE,
    "confusion": [[30, 2, 0, 0, 0], [3, 7, 0, 0, 0], [0, 5, 9, 0, 0], [1, 2, 0, 5, 0], [0, 1, 0, 0, 3]],
    "recall": {
        str(grade): {"value": value, "low": 0.1, "high": 0.99, "n": 9}
        for grade, value in enumerate((0.9, 0.4, 0.6, 0.6, 0.8))
    },
    "rejection_by_grade": {"0": FIGURE | {"value": 0.01}, "4": FIGURE | {"value": 0.3}},
}


def card_of(**changes: Any) -> str:
    return model_card(metadata_of(onnx_model(), validation=VALIDATION) | {"development": DEVELOPMENT} | changes)


def test_every_section_is_there_and_what_a_person_knows_is_marked() -> None:
    card = card_of()
    for title in (
        *("Intended use", "Population and cameras", "The model", "The decision", "Validation", "Latency", "Limits"),
        *("Failure modes", "Change protocol", "References"),
    ):
        assert f"\n## {title}\n" in card
    assert card.count(OPEN) == 3
    assert "dr-pipeline compare" in card
    assert "dr-pipeline validate-external" in card


def test_population_and_cameras_are_the_counts_of_development_the_most_frequent_first() -> None:
    card = card_of()
    assert "| photographs | 120 of 55 patients |" in card
    assert "| by grade 0 / 1 / 2 / 3 / 4 | 60 / 20 / 20 / 12 / 8 |" in card
    assert "| sites | sea 90, hill 20, unknown 10 |" in card
    assert "unknown 70, maker" in card


def test_names_from_the_data_are_escaped() -> None:
    card = card_of()
    assert r"phantom \| \<b\>" in card
    assert r"maker \[x\](http://y)" in card
    gradability = metadata_of(onnx_model())["gradability"] | {"sites": {"<script>|": 0.5}}
    assert r"by site: \<script\>\| 0.500" in card_of(gradability=gradability)


@pytest.mark.parametrize(
    ("patients", "unknown", "text"),
    [
        (0, 120, "| photographs | 120 of unknown patients |"),
        (50, 9, "50 patients; the patients of 9 photographs are unknown"),
    ],
)
def test_unknown_patients_are_a_warning_in_the_card(patients: int, unknown: int, text: str) -> None:
    development = DEVELOPMENT | {"patients": patients, "photographs_of_unknown_patients": unknown}
    card = card_of(development=development)
    assert text in card
    assert "**Patients are not known for all photographs" in card
    assert "**Patients are not known" not in card_of()


def test_failure_modes_are_counted_on_the_confusion_matrix() -> None:
    card = card_of()
    assert "Severe or proliferative disease called none or mild: 4 of 12 photographs." in card
    assert "Most frequent error: grade 2 called 1, 5 of 14 photographs." in card
    assert "Grade found least often: 1, recall 0.400" in card
    assert "Rejected most often as ungradable: grade 4, 0.300" in card


def test_a_grader_without_errors_has_no_most_frequent_one() -> None:
    perfect = {"confusion": [[9 * (row == column) for column in range(5)] for row in range(5)]}
    card = model_card(metadata_of(onnx_model(), validation=perfect))
    assert "called none or mild: 0 of 18 photographs." in card
    assert "Most frequent error" not in card


def test_an_older_bundle_states_that_it_does_not_state_it() -> None:
    card = model_card(metadata_of(onnx_model()))
    assert "Not stated by this bundle" in card
    assert "- Not stated: these figures hold no counts by grade." in card


def test_the_network_for_lesions_is_described_with_its_figures_where_they_are_stated() -> None:
    aupr = {"fovea": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 54}}
    peaks = description()["min_peaks"] | {"fovea": 0.6}
    described = LesionDescription.from_json(json.dumps(description() | {"aupr": aupr, "min_peaks": peaks}))
    rows = model_card(metadata_of(onnx_model()), described).splitlines()
    assert "| fovea | 0.5 | 3 | 0.6 | 0.800 (0.700 to 0.900, n = 54) |" in rows
    assert "| hemorrhages | 0.5 | 3 | 0.5 | not stated |" in rows
    assert any(row.startswith("No photograph without lesions was measured") for row in rows)


def test_the_card_states_how_often_a_healthy_eye_is_called_diseased() -> None:
    figure = {"value": 0.25, "low": 0.1, "high": 0.45, "n": 40}
    described = LesionDescription.from_json(json.dumps(description(lesions_found_without_lesions=figure)))
    card = model_card(metadata_of(onnx_model()), described)
    assert "in which lesions were counted: 0.250 (0.100 to 0.450, n = 40)" in card
