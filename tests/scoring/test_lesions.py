"""`score --lesions`: places and sizes in the photograph's pixels, tables, resumed runs, and what cannot be asked."""

import json
import math
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.identity import BundleIdentity, identify_bundle
from dr_pipeline.bundle.lesions import LesionModel
from dr_pipeline.engines.in_process import InProcessEngine
from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_file
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.drawing import draw_lesions, legend_of
from dr_pipeline.lesions.findings import Findings, FoveaMethod, Yardstick
from dr_pipeline.scoring.batched import BatchedEngine
from dr_pipeline.scoring.journal import Journal
from dr_pipeline.scoring.lesion_outputs import lesion_row, read_outlines
from dr_pipeline.scoring.lesions import LesionFinder
from dr_pipeline.scoring.merge import merge
from dr_pipeline.scoring.outputs import lesion_paths
from dr_pipeline.scoring.shards import Shard
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import list_entries
from dr_pipeline.scoring.task import PreparationTask, ScoringTask
from dr_pipeline.tables.lesions import LESIONS, LesionRow, read_lesions
from dr_pipeline.tables.predictions import read_predictions
from tests.factories.bundles import encode, make_bundle, onnx_model, photograph
from tests.factories.drawings import encode as encode_as
from tests.factories.lesion_networks import CANVAS_PX, COLOURS, colour_network
from tests.factories.scoring import drawn_score, score_in_process

pytestmark = pytest.mark.slow

DISC, FOVEA = (2900.0, 1400.0), (1720.0, 1500.0)
EXUDATES = ((1900.5, 1300.5), (1000.5, 1000.5), (2500.5, 2300.5))


def large_photograph() -> np.ndarray:
    """(2848, 4288, 3) as IDRiD's: a field that the frame cuts off above and below, with dots of pure colours."""
    picture = np.zeros((2848, 4288, 3), np.uint8)
    cv2.circle(picture, (2144, 1424), 1712, (150, 90, 45), -1)
    for (x, y), radius, kind in (
        (DISC, 240, "optic_disc"),
        (FOVEA, 100, "fovea"),
        *((place, 20, "hard_exudates") for place in EXUDATES),
    ):
        cv2.circle(picture, (int(x), int(y)), radius, COLOURS[kind], -1)
    return picture


@pytest.fixture(scope="module")
def finder() -> LesionFinder:
    network = colour_network(canvas_px=1536, tile_px=512, overlap=0.25, um_per_px=45 * 288 / 1534)
    return LesionFinder(LesionModel(network, threads=1))


@pytest.fixture(scope="module")
def found(finder: LesionFinder) -> Findings:
    """What is found in the large photograph."""
    return finder.find(encode_as(large_photograph(), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)).findings


def test_lesions_lie_within_two_pixels_of_where_they_are_and_have_their_sizes(found: Findings) -> None:
    lesions = sorted(found.lesions, key=lambda lesion: lesion.y)
    assert [lesion.kind for lesion in lesions] == ["hard_exudates"] * 3
    for lesion, (x, y) in zip(lesions, sorted(EXUDATES, key=lambda place: place[1]), strict=True):
        assert np.hypot(lesion.x - x, lesion.y - y) < 2
        # the disc, of 481 px, measures 1,500 µm
        assert lesion.diameter_um == pytest.approx(41 * 1500 / 481, rel=0.1)
        assert lesion.longest_um == pytest.approx(lesion.diameter_um, rel=0.15)
        assert lesion.area_mm2 == pytest.approx(np.pi * (lesion.diameter_um / 2000) ** 2, rel=0.01)
    assert found.disc == (pytest.approx(DISC[0], abs=2), pytest.approx(DISC[1], abs=2), pytest.approx(481, rel=0.01))
    assert found.fovea == (pytest.approx(FOVEA[0], abs=2), pytest.approx(FOVEA[1], abs=2))
    assert (found.fovea_method, found.yardstick) == (FoveaMethod.NETWORK, Yardstick.OPTIC_DISC)
    assert {(lesion.x > 2000, lesion.quadrant) for lesion in lesions} == {
        (False, "superior_temporal"),
        (True, "inferior_temporal"),
    }
    nearest = (np.hypot(1900.5 - FOVEA[0], 1300.5 - FOVEA[1]) - 20.5) * 1500 / 481
    assert found.nearest_um("hard_exudates") == pytest.approx(nearest, rel=0.02)


def test_the_drawing_lies_within_two_pixels_of_the_lesions(found: Findings) -> None:
    drawn = draw_lesions(np.zeros((2848, 4288, 3), np.uint8), found, opacity=1.0)
    shown = (drawn[..., :2] > 150).all(axis=2) & (drawn[..., 2] < 150)  # yellow
    # Between outline and fill, half of the black edge lies.
    whole = cv2.morphologyEx(shown.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    number, _, stats, centroids = cv2.connectedComponentsWithStats(whole)
    assert number == len(EXUDATES) + 1
    for centroid, place in zip(centroids[1:] + 0.5, sorted(EXUDATES, key=lambda place: place[1]), strict=True):
        assert np.hypot(*(centroid - place)) < 2
    assert np.abs(np.sqrt(4 * stats[1:, cv2.CC_STAT_AREA] / np.pi) - 41).max() < 4


@pytest.mark.parametrize("squash", [0.5, 1.0, 1.6])
def test_disc_and_fovea_are_drawn_as_the_squashed_photograph_shows_them(squash: float) -> None:
    """A circle of the canvas, 200 px in diameter, in a photograph whose height is `squash` of what it should be."""
    findings = Findings(
        kinds=("optic_disc",),
        lesions=(),
        disc=(300.5, 200.5, 200 * math.sqrt(squash)),
        fovea=(600.5, 200.5),
        fovea_method=FoveaMethod.NETWORK,
        yardstick=Yardstick.OPTIC_DISC,
        um_per_px=1500 / (200 * math.sqrt(squash)),
        window=(0, 0, 800, 800 * squash),
    )
    drawn = draw_lesions(np.zeros((400, 800, 3), np.uint8), findings)
    for left, right, across in ((0, 450, 200), (450, 800, 48)):  # the cross: 360 of 1,500 µm
        rows, columns = np.nonzero(drawn[:, left:right].max(axis=2) > 128)
        assert np.ptp(columns) == pytest.approx(across, abs=2)
        assert np.ptp(rows) == pytest.approx(across * squash, abs=2)
    centre = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2 + left
    assert centre == (pytest.approx(200, abs=0.6), pytest.approx(600, abs=0.6))


def test_the_legend_has_the_counts_of_what_was_looked_for(found: Findings) -> None:
    assert [text for _, text in legend_of(found)] == [
        "microaneurysms: 0",
        "hemorrhages: 0",
        "hard exudates: 3",
        "cotton wool spots: 0",
    ]


def test_an_empty_field_without_disc_is_a_marked_limit() -> None:
    picture = np.zeros((900, 1200, 3), np.uint8)
    cv2.circle(picture, (600, 450), 430, (150, 90, 45), -1)
    found = LesionFinder(LesionModel(colour_network(), threads=1)).find(encode(picture, ".png")).findings
    assert (found.lesions, found.disc, found.fovea) == ((), None, None)
    assert found.yardstick is Yardstick.FIELD
    assert found.um_per_px == pytest.approx(45 * 288 / 860, rel=0.02)
    assert found.by_quadrant("hemorrhages") is None


def dotted(seed: int, *, dots: int) -> bytes:
    """A drawn fundus, gradable, with some red dots."""
    pixels = decode(photograph(seed), 1 << 16).pixels.copy()
    for number in range(dots):
        cv2.circle(pixels, (110 + 22 * number, 140), 3, (255, 0, 0), -1)
    return encode(pixels, ".png")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release", lesions=colour_network())


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clinic")
    (root / "a.png").write_bytes(dotted(2, dots=4))
    (root / "b.jpg").write_bytes(photograph(2))
    (root / "broken.jpg").write_bytes(b"x")
    return root


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_tables_of_a_run_and_of_one_that_was_interrupted(
    bundle: Path, clinic: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "whole" / f"p{suffix}"
    summary = score_in_process(clinic, bundle, out, lesions=True)
    assert summary.lesion_seconds is not None
    again = tmp_path / "again" / f"p{suffix}"

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dr_pipeline.scoring.lesion_outputs.write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            score_in_process(clinic, bundle, again, lesions=True)
    assert not again.exists()
    score_in_process(clinic, bundle, again, lesions=True, resume=True)
    for one, other in zip((out, *lesion_paths(out)), (again, *lesion_paths(again)), strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert stat.S_IMODE(one.stat().st_mode) == 0o600
    manifest = json.loads((again.parent / f"p{suffix}.manifest.json").read_text())
    assert set(manifest["outputs"]) == {path.name for path in (again, *lesion_paths(again))}
    assert manifest["lesions"]["seconds"]["n"] == 2
    assert score_in_process(clinic, bundle, again, lesions=True, resume=True).resumed == 3
    lesion_paths(again)[1].unlink()  # such a run is not at its end
    score_in_process(clinic, bundle, again, lesions=True, resume=True)
    assert lesion_paths(again)[1].read_bytes() == lesion_paths(out)[1].read_bytes()


def test_one_row_per_file_with_counts_opinion_and_limits(bundle: Path, clinic: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    score_in_process(clinic, bundle, out, lesions=True)
    dotted_row, plain, broken = read_lesions(lesion_paths(out)[0])
    predictions = read_predictions(out)
    assert [row.image_id for row in predictions] == [row.image_id for row in (dotted_row, plain, broken)]
    assert (dotted_row.hemorrhages, dotted_row.hard_exudates, dotted_row.irma) == (4, 0, None)
    assert (dotted_row.rule_low, dotted_row.rule_high) == (2, 4)
    assert dotted_row.evidence == "hemorrhages (4), short of the 4-2-1 rule"
    assert "no optic disc" in dotted_row.limits
    assert "does not look for venous beading, IRMA" in dotted_row.limits
    assert (dotted_row.yardstick, dotted_row.hemorrhages_inferior_nasal) == ("declared_field", None)
    assert (plain.rule_low, plain.rule_high, plain.evidence) == (0, 0, "no lesion found")
    assert (broken.status, broken.hemorrhages, broken.agreement) == ("failed", None, "")
    ((_, findings), _) = read_outlines(lesion_paths(out)[1])
    assert [lesion.kind for lesion in findings.lesions] == ["hemorrhages"] * 4


def test_disagreement_sends_to_a_person_and_leaves_the_grade(bundle: Path, clinic: Path, tmp_path: Path) -> None:
    score_in_process(clinic, bundle, tmp_path / "without.csv")
    score_in_process(clinic, bundle, tmp_path / "with.csv", lesions=True)
    without, found = read_predictions(tmp_path / "without.csv"), read_predictions(tmp_path / "with.csv")
    opinions = read_lesions(tmp_path / "with.lesions.csv")
    assert {row.agreement for row in opinions} >= {"", "referable_differs"}
    for before, after, opinion in zip(without, found, opinions, strict=True):
        differs = opinion.agreement in ("grade_differs", "referable_differs")
        assert opinion.needs_human == after.needs_human == (before.needs_human or differs)
        assert (after.grade, after.probabilities) == (before.grade, before.probabilities)


def test_the_tables_state_the_same_where_a_person_must_look(tmp_path: Path) -> None:
    """Whatever the reason: drawn scores have none by lesions, and ungradable ones with a grade."""
    entries = [Entry(name, name) for name in map(str, range(40))]
    with Journal(tmp_path / "p.csv.journal") as journal:
        for entry in entries:
            journal.add(journal.total, entry)
            score = drawn_score(entry)
            asks = int(entry.relative) % 2 == 0
            graded = score.grading and replace(score.grading, needs_human=asks)
            journal.finish(entry, replace(score, grading=graded), bundle_id="0123456789abcdef")
        predictions = [row.needs_human for row in journal.rows(bundle_id="0123456789abcdef")]
        identity = BundleIdentity("0123456789abcdef", {})
        lesions = [lesion_row(scored, identity).needs_human for scored in journal.scored()]
    assert lesions == predictions
    assert set(predictions) == {False, True}


def test_each_column_is_described() -> None:
    described = re.findall(r"^\s+(\w+): ", str(LesionRow.__doc__).partition("Attributes:")[2], re.MULTILINE)
    assert described == [column for column in LESIONS.columns if column != "schema_version"]


def test_without_the_option_nothing_is_written_or_stored_of_lesions(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    plain = make_bundle(tmp_path / "plain")
    for name, one in (("with", bundle), ("without", plain)):
        score_in_process(clinic, one, tmp_path / name / "p.csv")
    assert (tmp_path / "with" / "p.csv").read_bytes() == (tmp_path / "without" / "p.csv").read_bytes()
    assert sorted(path.name for path in (tmp_path / "with").iterdir()) == ["p.csv", "p.csv.manifest.json"]
    settings = json.loads((tmp_path / "with" / "p.csv.manifest.json").read_text())
    assert "lesions" not in json.dumps(settings["settings"])


def test_tables_and_explanations_say_which_network_found_the_lesions(
    bundle: Path, clinic: Path, tmp_path: Path
) -> None:
    other = make_bundle(tmp_path / "other", lesions=colour_network(overlap=0.5))
    ids = set()
    for each in (bundle, other):
        out = tmp_path / "out" / each.name / "p.csv"
        score_in_process(clinic, each, out, lesions=True)
        identity, rows = identify_bundle(each), read_lesions(lesion_paths(out)[0])
        lesions_id = sha256_file(each / "lesions.onnx")[:16]
        assert {(row.bundle_id, row.lesions_id) for row in rows} == {(identity.bundle_id, lesions_id)}
        lines = lesion_paths(out)[1].read_text().splitlines()
        assert {json.loads(line)["lesions_id"] for line in lines} == {lesions_id}
        ids.add((identity.bundle_id, lesions_id))
    assert len(ids) == 2
    assert len({bundle_id for bundle_id, _ in ids}) == 1
    words = ["explain", clinic / "a.png", "--bundle", other, "--out", tmp_path / "explained"]
    assert cli.main([str(word) for word in words]) == 0
    assert json.loads((tmp_path / "explained" / "explanations.json").read_text())["lesions_id"] == lesions_id


def test_outlines_and_tables_of_the_version_before_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"schema_version":1,"image_id":"a","sha256":"b","findings":null}\n')
    with pytest.raises(DataError, match=r"(?s)not a line of outlines of this version.*score --lesions"):
        list(read_outlines(tmp_path / "p.jsonl"))
    columns = [column for column in LESIONS.columns if column != "lesions_id"]
    (tmp_path / "p.csv").write_text(",".join(columns) + "\n1" + "," * (len(columns) - 1) + "\n")
    with pytest.raises(DataError, match="column 'lesions_id' is missing"):
        read_lesions(tmp_path / "p.csv")


def test_tables_of_one_stem_keep_their_own_lesions(bundle: Path, clinic: Path, tmp_path: Path) -> None:
    for suffix in (".csv", ".jsonl"):
        score_in_process(clinic, bundle, tmp_path / f"p{suffix}", lesions=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"p{suffix}{beside}" for suffix in (".csv", ".jsonl") for beside in ("", ".outlines.jsonl", ".manifest.json")
    } | {"p.lesions.csv", "p.lesions.jsonl"}


def test_the_lesions_of_a_table_that_is_replaced_go_with_it(
    bundle: Path, clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "p.csv"
    score_in_process(clinic, bundle, out, lesions=True)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dr_pipeline.scoring.folder.sha256_file", killed)
        with pytest.raises(KeyboardInterrupt):
            score_in_process(clinic, bundle, out)
    assert all(path.is_file() for path in lesion_paths(out))  # until the new table is finished
    score_in_process(clinic, bundle, out, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.csv.manifest.json"]
    for path in lesion_paths(out):
        assert f"removed {path}: the lesions of the table that was replaced" in caplog.text


def test_what_only_has_the_name_of_lesions_stays(
    bundle: Path, clinic: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "p.csv"
    score_in_process(clinic, bundle, tmp_path / "p.lesions.csv")  # a table of grades by this name
    score_in_process(clinic, bundle, out)
    assert caplog.text == ""
    outlines = lesion_paths(out)[1]
    outlines.write_text("other")
    score_in_process(clinic, bundle, out)
    assert f"{outlines} stays, but is not of this run" in caplog.text
    assert (outlines.read_text(), len(read_predictions(tmp_path / "p.lesions.csv"))) == ("other", 3)


def test_a_challenger_is_compared_by_its_grades(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    other, out = make_bundle(tmp_path / "other", model=onnx_model(seed=5)), tmp_path / "out" / "p.csv"
    words = ["score", clinic, "--bundle", bundle, "--out", out, "--lesions", "--shadow", other, "--workers", 1]
    assert cli.main([str(word) for word in words]) == 0
    assert {path.name for path in out.parent.iterdir() if "shadow" in path.name} == {
        "p.shadow.csv",
        "p.shadow.csv.manifest.json",
    }
    assert all(path.is_file() for path in (*lesion_paths(out), out.with_name("p.agreement.json")))


def test_a_merge_of_shards_has_the_tables_of_one_run(
    bundle: Path, clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score_in_process(clinic, bundle, tmp_path / "whole" / "p.csv", lesions=True)
    shards = [tmp_path / f"shard{index}.csv" for index in range(2)]
    for index, shard in enumerate(shards):
        score_in_process(clinic, bundle, shard, lesions=True, shard=Shard(index, 2))
    merged = tmp_path / "merged" / "p.csv"
    assert cli.main(["merge", str(merged), *map(str, shards)]) == 0
    printed = capsys.readouterr().out
    for path in (merged, *lesion_paths(merged)):
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
        assert f"wrote {path}\n" in printed
    score_in_process(clinic, bundle, shards[1], shard=Shard(1, 2))
    with pytest.raises(DataError, match="shards of different runs: lesions differ"):
        merge(tmp_path / "again.csv", shards)


def test_without_a_network_for_lesions_nothing_is_begun(
    clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = make_bundle(tmp_path / "plain")
    words = ["score", clinic, "--bundle", plain, "--out", tmp_path / "out" / "p.csv", "--lesions"]
    assert cli.main([str(word) for word in words]) == 2
    assert "has no lesions.onnx" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_workers_find_lesions_for_a_network_that_grades_in_batches(bundle: Path, clinic: Path) -> None:
    task = ScoringTask(bundle, identify_bundle(bundle).bundle_id, lesions=True)
    entries = list(list_entries((str(clinic),)))
    with InProcessEngine(task) as engine:
        alone = [score for _, score in engine.results(entries)]
    with BatchedEngine(task, InProcessEngine(PreparationTask(task)), "cpu") as batched:
        together = [score for _, score in batched.results(entries)]
    for one, other in zip(alone, together, strict=True):
        assert (one.lesions is None) == (other.lesions is None)
        if one.lesions and other.lesions and one.grading and other.grading:
            assert other.lesions.findings == one.lesions.findings
            assert (other.grading.grade, other.grading.needs_human) == (one.grading.grade, one.grading.needs_human)
    assert sum(score.lesions is not None for score in together) == 2


def test_a_resumed_run_and_a_replay_keep_to_the_network_for_lesions(
    bundle: Path, clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.csv"

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dr_pipeline.scoring.folder.publish", killed)
        with pytest.raises(KeyboardInterrupt):
            score_in_process(clinic, bundle, out, lesions=True)
    with pytest.raises(DataError, match=r"lesions was '[0-9a-f]{64}', not None"):
        score_in_process(clinic, bundle, out, resume=True)
    other = make_bundle(tmp_path / "other", lesions=colour_network(overlap=0.5))  # the id is of what grades
    with pytest.raises(DataError, match="lesions was"):
        score_in_process(clinic, other, out, lesions=True, resume=True)
    score_in_process(clinic, bundle, out, lesions=True, resume=True)
    replayed = ["replay", str(out), "--bundle"]
    assert cli.main([*replayed, str(bundle)]) == 0
    assert cli.main([*replayed, str(other)]) == 2
    assert "made with another lesions.onnx" in capsys.readouterr().err


def test_explain_draws_the_lesions_where_the_bundle_has_them(bundle: Path, clinic: Path, tmp_path: Path) -> None:
    words = ["explain", clinic / "a.png", "--bundle", bundle, "--out", tmp_path / "out"]
    assert cli.main([str(word) for word in words]) == 0
    (row,) = json.loads((tmp_path / "out" / "explanations.json").read_text())["photographs"]
    assert row["found"]["lesions"]["hemorrhages"] == 4
    assert row["found"]["second_opinion"].startswith("grade 2 (3 to 4 not excluded)")
    assert row["found"]["limits"] == [
        "no optic disc: no quadrants, lengths by the declared field",
        "fovea not found: no quadrants, no distances",
        "does not look for venous beading, IRMA",
        "does not look for new vessels, preretinal hemorrhages",
    ]
    drawn = cv2.imread(str(tmp_path / "out" / row["lesion_picture"]))
    height, width = decode((clinic / "a.png").read_bytes(), CANVAS_PX).pixels.shape[:2]
    assert drawn.shape[0] > height + 60  # legend, second opinion, limits and use
    assert not drawn[:height, width:].any()
    assert drawn[:height, :width].any(axis=2).mean() > 0.5
    assert stat.S_IMODE((tmp_path / "out" / row["lesion_picture"]).stat().st_mode) == 0o600


def test_each_photograph_has_its_lesions_in_a_picture_of_its_name(bundle: Path, clinic: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "later").mkdir(parents=True)
    stems = {
        "1.2.840.113619.2.5.1001.jpg": "1.2.840.113619.2.5.1001",
        "1.2.840.113619.2.5.1002": "1.2.840.113619.2.5.1002",  # as archives name DICOM files
        "2026.11.03.left eye.jpg": "2026.11.03.left_eye",
        "A-LESIONS.jpg": "A-LESIONS",
        "a.jpg": "a-2",  # a-lesions.png is another's
        "b.jpg": "b",
        "later/b-lesions.jpg": "b-lesions-2",
        f"{'x' * 120}.jpg": "x" * 100,
    }
    for name in stems:
        (site / name).write_bytes((clinic / "b.jpg").read_bytes())
    words = ["explain", site, "--bundle", bundle, "--out", tmp_path / "out"]
    assert cli.main([str(word) for word in words]) == 0
    rows = json.loads((tmp_path / "out" / "explanations.json").read_text())["photographs"]
    pictures = {row["file"]: (row["picture"], row["lesion_picture"]) for row in rows}
    assert pictures == {name: (f"{stem}.png", f"{stem}-lesions.png") for name, stem in stems.items()}
    assert len(list((tmp_path / "out").glob("*.png"))) == 2 * len(stems)
