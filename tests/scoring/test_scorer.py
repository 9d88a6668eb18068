import dataclasses

import numpy as np
import pytest

from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.errors import BundleError, DataError, ImageError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.fundus.quality.thresholds import LOW_SCORE, Gradability
from dr_pipeline.schema import Status
from dr_pipeline.scoring.scorer import Scorer
from tests.factories import bundles as bundle_factory
from tests.factories.bundles import (
    DECISION,
    GRADABILITY,
    INPUT_PX,
    PIXEL_PATH,
    encode,
    make_bundle,
    onnx_model,
    photograph,
)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return Scorer.from_bundle(make_bundle(tmp_path_factory.mktemp("made") / "release"), threads=1)


def test_a_score_is_pixel_path_network_and_decision_and_nothing_else(scorer):
    data = photograph(3)
    score = scorer.score(data)
    canvas = PIXEL_PATH.process(data).canvas
    logits = OnnxModel(onnx_model(), threads=1).logits(model_input(canvas, INPUT_PX)[np.newaxis])
    decided = DECISION.apply(logits)
    assert score.status is Status.SCORED
    assert score.reason == ""
    assert score.sha256 == sha256_bytes(data)
    for field in dataclasses.fields(score.grading):
        np.testing.assert_array_equal(getattr(score.grading, field.name), getattr(decided, field.name)[0])


@pytest.mark.parametrize(
    "data",
    [b"", b"plain text", photograph(1)[:2000], b"\x89PNG\r\n\x1a\n", encode(np.zeros((8, 8, 3), np.uint8), ".png")],
    ids=["empty", "text", "truncated", "header only", "tiny"],
)
def test_a_bad_file_is_a_status_with_a_reason(scorer, data):
    score = scorer.score(data)
    assert score.status is Status.FAILED
    assert score.reason
    assert score.grading is None
    assert score.sha256 == sha256_bytes(data)


def test_what_is_no_fundus_gets_no_grading(scorer):
    score = scorer.score(encode(np.full((256, 256, 3), 128, np.uint8), ".png"))
    assert score.status is Status.NOT_FUNDUS
    assert score.reason
    assert score.grading is None
    assert score.pixel_hash


def test_an_ungradable_photograph_keeps_its_grading_for_the_evaluation(scorer):
    grey = np.full((300, 300, 3), 0, np.uint8)
    ys, xs = np.mgrid[0:300, 0:300]
    inside = np.hypot(ys - 150, xs - 150) < 130
    grey[inside] = (np.random.default_rng(0).normal(120, 20, (int(inside.sum()), 1)) * np.ones(3)).astype(np.uint8)
    score = scorer.score(encode(grey, ".png"))
    assert score.status is Status.UNGRADABLE
    assert score.reason
    assert score.grading is not None


def test_laps_name_every_step_in_order(scorer):
    laps = []
    scorer.score(photograph(3), lap=laps.append)
    steps = ["decode", "disc", "canvas", "hashes", "text", "quality"]
    assert laps == ["hash", *steps, "input", "network", "decision"]


def test_the_description_must_fit_the_network(tmp_path):
    (tmp_path / "model.onnx").write_bytes(onnx_model())
    with pytest.raises(BundleError, match="32 px"):
        Scorer(
            tmp_path / "model.onnx",
            input_px=64,
            pixel_path=PIXEL_PATH,
            decision=DECISION,
            gradability=GRADABILITY,
            threads=1,
        )


def test_the_threshold_of_the_site_decides_who_gets_a_grade(tmp_path, monkeypatch, scorer):
    quality = scorer.score(photograph(3)).quality
    strict = Gradability(1.0, 1.0, 0.0, {"strict": quality + 0.001, "lenient": quality})
    monkeypatch.setattr(bundle_factory, "GRADABILITY", strict)
    make_bundle(tmp_path / "release")
    of = {site: Scorer.from_bundle(tmp_path / "release", threads=1, site=site) for site in ("", "strict", "lenient")}
    told = {site: one.score(photograph(3)) for site, one in of.items()}
    assert {site: score.status for site, score in told.items()} == {
        "": Status.SCORED,
        "strict": Status.UNGRADABLE,
        "lenient": Status.SCORED,
    }
    assert told["strict"].reason == LOW_SCORE
    assert told["strict"].grading is not None
    with pytest.raises(DataError, match="lenient, strict"):
        Scorer.from_bundle(tmp_path / "release", threads=1, site="elsewhere")


def test_only_image_errors_become_failures(scorer, monkeypatch):
    def refuse(self, data, **_options):
        raise ImageError("not like this")

    monkeypatch.setattr(type(scorer.pixel_path), "process", refuse)
    assert scorer.score(b"x").reason == "not like this"

    def broken(self, data, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr(type(scorer.pixel_path), "process", broken)
    with pytest.raises(ZeroDivisionError):
        scorer.score(b"x")
