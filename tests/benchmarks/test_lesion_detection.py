"""Marks of outlines and of boxes on lesions, and the benchmark from canvases to its table."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import lesion_detection
from benchmarks.lesion_detection import components, on_lesions
from dr_pipeline.files import read_json, sha256_file
from dr_pipeline.lesions.kinds import HEMORRHAGES
from dr_pipeline.models.segmenter import segmenter_from_params
from dr_pipeline.models.segmenter_files import SegmenterSpec, network_name, write_network, write_spec
from tests.factories.lesion_sets import CANVAS_PX, KINDS, training, write_store


def test_components_are_scored_by_their_surest_pixel_or_their_mean() -> None:
    probability = np.zeros((20, 20), np.float32)
    probability[2:4, 5] = 0.25, 0.75
    probability[10, 10] = probability[11, 11] = 0.5  # they touch at a corner
    probability[15, 3] = 0.05
    centres, scores = components(probability, 0.1)
    assert centres.tolist() == [[5.5, 3.5], [10.5, 10.5]]
    assert scores.tolist() == [0.75, 0.5]
    assert components(probability, 0.1, mean=True)[1].tolist() == [0.5, 0.5]
    assert components(probability, 0.9)[0].shape == (0, 2)


def test_a_mark_is_on_the_nearest_lesion_within_reach() -> None:
    shown = np.zeros((40, 40), np.bool_)
    shown[10:13, 10:13] = shown[10:13, 18:21] = True
    centres = np.array([[11.5, 11.5], [14.5, 11.5], [16.5, 11.5], [11.5, 16.5], [39.9, 39.9]])
    marks = on_lesions(centres, np.arange(5.0), shown)
    assert marks.num_lesions == 2
    assert marks.lesion.tolist() == [1, 1, 2, 0, 0]
    assert on_lesions(centres, np.arange(5.0), np.zeros((40, 40), np.bool_)).lesion.tolist() == [0] * 5
    assert on_lesions(np.zeros((0, 2)), np.zeros(0), shown).lesion.shape == (0,)


def test_from_canvases_to_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, params = (
        write_store(tmp_path / "canvases", photographs=4),
        training(decoder_channels=16, epochs=1, tiles_per_photograph=1),
    )
    spec = SegmenterSpec(KINDS, params, 2, CANVAS_PX, 100.0, sha256_file(store.index_path))
    write_spec(tmp_path / "models", spec)
    for fold in (0, 1):
        network = segmenter_from_params(params, len(KINDS))[0]
        write_network(tmp_path / "models", network_name(fold), network.state_dict())
    monkeypatch.setattr(lesion_detection, "MICROANEURYSMS", HEMORRHAGES)
    monkeypatch.setattr(lesion_detection, "RECIPE", params.model_dump(mode="json"))
    run = ["lesion_detection", "idrid", "--work", str(tmp_path), "--folds", "0"]
    monkeypatch.setattr(sys, "argv", run)
    lesion_detection.main()
    trained = (tmp_path / "detection" / "fold-0.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(sys, "argv", [*run, "1", "--out", str(tmp_path / "out.json")])
    lesion_detection.main()
    assert (tmp_path / "detection" / "fold-0.safetensors").stat().st_mtime_ns == trained
    figures = read_json(tmp_path / "out.json")["figures"]
    assert {figures[way]["lesions"] for way in ("detector", "segmenter")} == {0 + 1 + 2 + 3}
    assert figures["detector_minus_segmenter"]["score"]["n"] == 4
    monkeypatch.setattr(sys, "argv", [*run, "--segmenter-alone", "--out", str(tmp_path / "alone.json")])
    lesion_detection.main()
    assert set(read_json(tmp_path / "alone.json")["figures"]) == {"segmenter", "segmenter_by_mean"}
    monkeypatch.setattr(sys, "argv", [*run, "--epochs", "2"])
    with pytest.raises(SystemExit, match="another recipe"):
        lesion_detection.main()
