import dataclasses
import json

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline import cli
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.reference import read_reference
from dr_pipeline.bundle.session import INT8
from dr_pipeline.deployment.formats.onnx_graph import write_onnx
from dr_pipeline.deployment.selection import RULE, Limits, SelectionCandidate, Verdict, select
from dr_pipeline.errors import GateError, ParamsError
from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.schema import Status
from dr_pipeline.scoring.latency_file import add_network
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.tables.canvas_index import CanvasRow, write_canvas_index
from dr_pipeline.tables.gradability import GradabilityRow, write_gradability
from dr_pipeline.tables.graded import GradedRow, read_graded, write_graded
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import SplitRow, write_splits
from tests.factories import REPOSITORY
from tests.factories.bundles import (
    DECISION,
    FIGURE,
    FITTED_ON,
    GRADABILITY,
    LATENCY,
    WEIGHTS,
    export_json,
    onnx_model,
    photograph,
)

SYNTHETIC = REPOSITORY / "params.yaml"
LIMITS = Limits(("efficientnet",), latency_budget_ms=50.0, referable_sensitivity_floor=0.8)


TIED = {"value": 0.0, "low": -0.1, "high": 0.1, "n": 60}


def _figure(low):
    return None if low is None else {"value": low + 0.05, "low": low, "high": low + 0.1, "n": 60}


def entrant(name, *, low=0.7, p95_ms=30.0, sensitivity=0.9, family="efficientnet", machine="m", **more):
    more = {"megabytes": 13.5, "memory_mib": 180.0} | more
    return SelectionCandidate(name, family, _figure(low), FIGURE | {"value": sensitivity}, p95_ms, machine, **more)


def paired(differences):
    """Leader less other has this interval, by the other's name."""

    def difference(_leader, other):
        low, high = differences[other]
        return {"value": None, "low": low, "high": high, "n": 60}

    return difference


def verdicts(selection):
    return {line.name: line.verdict for line in selection.rows}


def test_the_highest_lower_bound_wins_where_the_others_are_behind():
    entrants = [entrant("a", low=0.7, p95_ms=10), entrant("b", low=0.8, p95_ms=40)]
    chosen = select(entrants, LIMITS, paired({"a": (0.01, 0.2)}))
    assert chosen.chosen == chosen.leader == "b"
    assert verdicts(chosen) == {"a": Verdict.BEHIND, "b": Verdict.CHOSEN}


def test_the_fastest_tie_wins():
    entrants = [entrant("a", low=0.7, p95_ms=10), entrant("b", low=0.8, p95_ms=40), entrant("c", p95_ms=20)]
    chosen = select(entrants, LIMITS, paired({"a": (-0.01, 0.2), "c": (0.0, 0.1)}))
    assert (chosen.chosen, chosen.leader) == ("a", "b")
    assert verdicts(chosen) == {"a": Verdict.CHOSEN, "b": Verdict.TIE, "c": Verdict.TIE}


def test_of_ties_as_fast_as_the_clock_can_tell_the_better_one_wins():
    """Whichever is a tenth of a millisecond faster today: the choice must not hang on that."""
    for a_ms, b_ms in ((20.0, 19.9), (19.9, 20.0), (20.0, 21.9)):
        entrants = [entrant("a", low=0.8, p95_ms=a_ms), entrant("b", low=0.7, p95_ms=b_ms)]
        assert select(entrants, LIMITS, paired({"b": (-0.1, 0.1)})).chosen == "a"
    entrants = [entrant("a", low=0.8, p95_ms=22.1), entrant("b", low=0.7, p95_ms=20.0)]
    assert select(entrants, LIMITS, paired({"b": (-0.1, 0.1)})).chosen == "b"


def test_a_faster_candidate_that_is_behind_does_not_win():
    entrants = [entrant("a", p95_ms=5), entrant("b", low=0.8, p95_ms=40), entrant("c", p95_ms=20)]
    assert select(entrants, LIMITS, paired({"a": (0.001, 0.2), "c": (-0.1, 0.1)})).chosen == "c"


@pytest.mark.parametrize(("low", "high"), [(None, None), (-0.2, -0.1)])
def test_nobody_is_behind_by_an_undefined_or_a_negative_difference(low, high):
    entrants = [entrant("a", p95_ms=5), entrant("b", low=0.8, p95_ms=40)]
    assert select(entrants, LIMITS, paired({"a": (low, high)})).chosen == "a"


@pytest.mark.parametrize(
    ("miss", "reason"),
    [
        ({"family": "resnet"}, "family resnet"),
        ({"p95_ms": 50.1}, "p95 50.1 ms"),
        ({"p95_ms": float("nan")}, "p95 nan"),
        ({"sensitivity": 0.799}, "sensitivity 0.799"),
        ({"sensitivity": None}, "undefined"),
        ({"p95_ms": None, "how_to_measure": "measure it there"}, "not measured on the target: measure it there"),
        ({"megabytes": 20.1}, "model.onnx with 20.1 MB is over the limit of 20 MB"),
        ({"memory_mib": 201.0}, "peak memory of 201 MiB is over the limit of 200 MiB"),
        ({"memory_mib": None}, "memory was not measured"),
    ],
    ids=str,
)
def test_what_misses_a_limit_is_shown_but_neither_chosen_nor_leading(miss, reason):
    best = entrant("best", low=0.95, **miss)
    limits = dataclasses.replace(LIMITS, max_megabytes=20.0, max_memory_mib=200.0)
    chosen = select([best, entrant("fit")], limits, paired({}))
    assert chosen.chosen == chosen.leader == "fit"
    line = chosen.rows[0]
    assert (line.name, line.verdict) == ("best", Verdict.UNFIT)
    assert reason in line.reasons[0]
    assert line.behind_leader is None


def test_a_limit_that_is_just_met_is_met():
    assert select([entrant("a", p95_ms=50.0, sensitivity=0.8)], LIMITS, paired({})).chosen == "a"


def test_nothing_fits_names_the_nearest_misses_first():
    entrants = [
        entrant("far", sensitivity=0.2),
        entrant("both", p95_ms=51, sensitivity=0.79),
        entrant("near", p95_ms=51),
    ]
    with pytest.raises(GateError) as error:
        select(entrants, LIMITS, paired({}))
    said = str(error.value)
    assert said.index("near:") < said.index("far:") < said.index("both:")
    assert "p95 51.0 ms is over the budget of 50 ms" in said


def test_latencies_of_different_machines_do_not_compare():
    with pytest.raises(GateError, match="b on n"):
        select([entrant("a", machine="m"), entrant("b", machine="n")], LIMITS, paired({}))


def test_latencies_of_different_photographs_or_threads_do_not_compare():
    with pytest.raises(GateError, match="b on 2 thread"):
        select([entrant("a", conditions="1 thread(s)"), entrant("b", conditions="2 thread(s)")], LIMITS, paired({}))
    unmeasured = entrant("b", p95_ms=None, conditions="")
    assert select([entrant("a", conditions="1 thread(s)"), unmeasured], LIMITS, paired({})).chosen == "a"


@pytest.mark.parametrize("key", ["latency_budget_ms", "max_megabytes", "max_memory_mib"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_of_zero_is_refused(key, value):
    with pytest.raises(ParamsError, match=key):
        dataclasses.replace(LIMITS, **{key: value})


entrants_strategy = st.lists(
    st.builds(
        entrant,
        st.text("abcdefgh", min_size=1, max_size=3),
        low=st.floats(0, 0.9),
        p95_ms=st.floats(1, 80),
        sensitivity=st.floats(0.6, 1),
        family=st.sampled_from(["efficientnet", "vit"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one.name,
)


@given(entrants_strategy, st.data())
def test_properties_of_the_rule(entrants, data):
    intervals = {
        one.name: tuple(sorted(data.draw(st.tuples(st.floats(-0.2, 0.3), st.floats(-0.2, 0.3))))) for one in entrants
    }
    fit = [
        one
        for one in entrants
        if one.family == "efficientnet" and one.p95_ms <= 50 and one.referable_sensitivity["value"] >= 0.8
    ]
    if not fit:
        with pytest.raises(GateError):
            select(entrants, LIMITS, paired(intervals))
        return
    selection = select(entrants, LIMITS, paired(intervals))
    by_name = {one.name: one for one in fit}
    leader, chosen = by_name[selection.leader], by_name[selection.chosen]
    assert leader.qwk["low"] == max(one.qwk["low"] for one in fit)
    assert chosen is leader or intervals[chosen.name][0] <= 0
    assert chosen.p95_ms <= 1.1 * leader.p95_ms
    assert [line.name for line in selection.rows] == [one.name for one in entrants]
    assert list(verdicts(selection).values()).count(Verdict.CHOSEN) == 1
    assert select(entrants[::-1], LIMITS, paired(intervals)).chosen == selection.chosen  # order does not matter


@given(entrants_strategy, st.floats(1, 80), st.floats(1, 80))
def test_a_larger_budget_never_makes_the_leader_worse(entrants, one_ms, other_ms):
    """With it more candidates fit, and every candidate that does not has a sentence."""
    found = []
    for budget_ms in sorted((one_ms, other_ms)):
        limits = dataclasses.replace(LIMITS, latency_budget_ms=budget_ms)
        try:
            selection = select(entrants, limits, lambda *_: TIED)
        except GateError:
            found.append(-1.0)
            continue
        assert all(bool(row.reasons) == (row.verdict is Verdict.UNFIT) for row in selection.rows)
        found.append(next(one.qwk["low"] for one in entrants if one.name == selection.leader))
    assert found[0] <= found[1]


def test_the_rule_is_the_designs_sentence():
    assert RULE.startswith("Among candidates of the deployable families")
    assert RULE.endswith("Nothing fits → non-zero exit and the nearest misses.")


def graded_row(image_id: str, group: str, grade: int, predicted: int) -> GradedRow:
    return GradedRow(
        image_id=image_id,
        patient_id="",
        group=group,
        grade=grade,
        logits=(0.0,) * 5,
        probabilities=(0.2,) * 5,
        expected_grade=2.0,
        predicted=predicted,
        predicted_locked=predicted,
        referable=predicted >= 2,
        referable_probability=0.6,
        needs_human=False,
        status=Status.SCORED,
    )


@pytest.fixture
def stage(tmp_path):
    """Two candidates' files: `small` is as good as `big` on nearly all photographs, and faster."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 80)
    ids, both = [f"i{i}" for i in range(160)], np.tile(true, 2).tolist()
    splits = [
        SplitRow(image_id=name, group=f"g{i // 2}", site="hill", grade=both[i], split="development", fold=i // 80)
        for i, name in enumerate(ids)
    ]
    splits.append(SplitRow(image_id="tested", group="t", site="lake", grade=1, split="test"))
    write_splits(tmp_path / "splits.csv", splits)
    write_manifest(
        tmp_path / "audited.csv", [ManifestRow(image_id=row.image_id, path="x", camera="A") for row in splits]
    )
    belongs = {"splits_sha256": sha256_file(tmp_path / "splits.csv")}
    ids.append("tested")
    write_gradability(tmp_path / "gradability.csv", [GradabilityRow(image_id=i, status=Status.SCORED) for i in ids])
    look = {"width": 800, "height": 600, "disc_radius": 280.0, "brightness": 90.0, "camera": "Topcon NW400"}
    index = [CanvasRow(image_id=i, status=Status.SCORED, quality=0.9, **look) for i in ids]
    write_canvas_index(tmp_path / "canvases" / "index.csv", index)
    grades = {"big": true, "small": np.where(np.arange(80) % 20 == 0, (true + 1).clip(max=4), true)}
    for seed, (name, predicted) in enumerate(grades.items()):
        model = onnx_model(seed=seed)
        rows = [graded_row(f"i{i}", f"g{i // 2}", int(true[i]), int(predicted[i])) for i in range(80)]
        write_graded(tmp_path / "validation" / name / "predictions.csv", rows)
        write_json(tmp_path / "validation" / name / "decision.json", decision(**belongs).to_dict())
        (tmp_path / "exports" / name).mkdir(parents=True)
        (tmp_path / "exports" / name / "model.onnx").write_bytes(model)
        (tmp_path / "exports" / name / "weights.safetensors").write_bytes(WEIGHTS)
        write_json(tmp_path / "exports" / name / "export.json", export_json(model, candidate=name, **belongs))
        low = 0.97 if name == "big" else 0.93
        figures = {"qwk": _figure(low), "referable_sensitivity": FIGURE, "confusion": [[1]], "research_use": "x"}
        figures |= {"two_eye_fusion": {"n": 40, "qwk": FIGURE}} if name == "big" else {}
        write_json(tmp_path / "reports" / "validation" / f"{name}.json", {"validation": {name: figures}})
        p95_ms = 20.0 if name == "big" else 10.0
        times = LATENCY | {"p95_ms": p95_ms, "mean_ms": p95_ms - 2, "steps_ms": {"network": p95_ms / 2}}
        write_json(tmp_path / "reports" / "latency" / f"{name}.json", {"latency": {name: times}})
    params = yaml.safe_load(SYNTHETIC.read_text())
    params["candidates"] = dict.fromkeys(grades, params["candidates"]["lite0"])
    params["deployment"] = {
        "families": ["efficientnet"],
        "latency_budget_ms": 15.0,
        "referable_sensitivity_floor": 0.8,
    }
    params["evaluation"]["bootstrap_replicates"] = 200
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    thresholds = dataclasses.replace(GRADABILITY, fitted_on=GRADABILITY.fitted_on | belongs)
    write_json(tmp_path / "gradability.json", thresholds.to_dict())
    return tmp_path


def decision(**fitted_on: str) -> Decision:
    return dataclasses.replace(DECISION, fitted_on=FITTED_ON | fitted_on)


def _arguments(verb, folder, **others):
    paths = {
        "validation": folder / "validation",
        "validation-reports": folder / "reports" / "validation",
        "latency": folder / "reports" / "latency",
        "exports": folder / "exports",
    } | others
    return [verb, *(str(word) for name, path in paths.items() for word in (f"--{name}", path))]


def _select(folder):
    return cli.main(_arguments("select", folder, params=folder / "params.yaml", report=folder / "selection.json"))


def _package(folder):
    others = {"selection": "selection.json", "gradability": "gradability.json", "out": "release"}
    others |= {"canvases": "canvases", "splits": "splits.csv", "statuses": "gradability.csv", "audited": "audited.csv"}
    return cli.main(_arguments("package", folder, **{name: folder / path for name, path in others.items()}))


def _set_budget(folder, budget_ms):
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["deployment"]["latency_budget_ms"] = budget_ms
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def test_the_stage_writes_choice_and_table(stage, capsys):
    assert _select(stage) == 0
    selection = json.loads((stage / "selection.json").read_text())
    assert selection["chosen"] == "small"
    table = {entry["candidate"]: entry for entry in selection["candidates"]}
    assert table["big"]["verdict"] == "not deployable"
    assert "over the budget of 15 ms" in table["big"]["reasons"][0]
    assert table["big"]["two_eye_fusion"]["n"] == 40
    assert table["small"]["two_eye_fusion"] is None
    assert table["small"]["ensemble"]["views"] == ["identity"]
    assert table["small"]["megabytes"] == pytest.approx(0.0, abs=0.1)
    assert (selection["target"], selection["limits"]["max_memory_mib"]) == ("machine", None)
    assert selection["cascades"] == []
    assert "chosen small" in capsys.readouterr().out
    _set_budget(stage, 100.0)
    assert _select(stage) == 0
    selection = json.loads((stage / "selection.json").read_text())
    table = {entry["candidate"]: entry for entry in selection["candidates"]}
    assert selection["leader"] == "big"
    assert table["small"]["qwk_behind_leader"]["value"] > 0
    assert (table["small"]["qwk_behind_leader"]["low"] > 0) == (selection["chosen"] == "big")


def _target(folder, p95_ms, **changes):
    """A file of `bench latency`, and params.yaml that names it."""
    figures = dict.fromkeys(("mean_ms", "p50_ms", "p99_ms"), 5.0) | {"n": 200, "steps_ms": {"network": 1.0}}
    for name, value in p95_ms.items():
        own = {"p95_ms": value, "threads": 1, "photographs_sha256": "a" * 64, "peak_memory_mib": 100.0}
        own |= changes.get(name, {})
        sha256 = sha256_file(folder / "exports" / name / "model.onnx")
        add_network(folder / "clinic.json", {"fingerprint": "clinic"}, sha256, figures | own)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["deployment"]["target"] = str(folder / "clinic.json")
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def test_the_target_is_another_machine_whose_file_is_named(stage, capsys):
    """`big` is too slow here and fast enough there; the bundle states the budget and this machine's latency."""
    _target(stage, {"big": 14.0, "small": 16.0})
    assert _select(stage) == 0
    selection = json.loads((stage / "selection.json").read_text())
    assert (selection["chosen"], selection["machine"]) == ("big", "clinic")
    table = {entry["candidate"]: entry for entry in selection["candidates"]}
    assert (table["big"]["p95_ms"], table["big"]["memory_mib"]) == (14.0, 100.0)
    assert _package(stage) == 0
    latency = read_bundle(stage / "release", threads=1).metadata["latency"]
    assert (latency["p95_ms"], latency["budget_ms"]) == (20.0, 15.0)


def test_a_candidate_that_was_not_measured_on_the_target_is_not_deployed_and_says_how_to(stage, capsys):
    _target(stage, {"small": 14.0})
    assert _select(stage) == 0
    selection = json.loads((stage / "selection.json").read_text())
    table = {entry["candidate"]: entry for entry in selection["candidates"]}
    assert selection["chosen"] == "small"
    assert table["big"]["p95_ms"] is None
    assert f"bench latency FOLDER --candidate {stage / 'exports' / 'big'}" in table["big"]["reasons"][0]


def test_a_target_with_other_photographs_a_missing_file_and_a_budget_of_zero_are_refused(stage, capsys):
    _target(stage, {"big": 14.0, "small": 14.0}, big={"photographs_sha256": "b" * 64})
    assert _select(stage) == 2
    assert "do not compare" in capsys.readouterr().err
    (stage / "clinic.json").unlink()
    assert _select(stage) == 2
    assert "clinic.json" in capsys.readouterr().err
    _set_budget(stage, 0.0)
    assert _select(stage) == 2
    assert "latency_budget_ms" in capsys.readouterr().err


def test_the_stage_fails_where_nothing_fits(stage, capsys):
    _set_budget(stage, 1.0)
    assert _select(stage) == 2
    assert "nearest misses" in capsys.readouterr().err
    assert not (stage / "selection.json").exists()


def test_the_stage_refuses_candidates_validated_on_different_photographs(stage, capsys):
    _set_budget(stage, 100.0)
    path = stage / "validation" / "small" / "predictions.csv"
    path.write_text(path.read_text().replace("i7,", "other,"))
    assert _select(stage) == 2
    assert "different photographs" in capsys.readouterr().err


def _add_int8(folder, name, *, wrong=0, deployed_too=True, network_ms=2.0, **export):
    """An int8 format of a candidate, as its stages leave it; `wrong` cross-fitted grades differ, and deployed ones."""
    path, format_name = folder / "exports" / name / "onnx-int8", f"{name}/onnx-int8"
    model = onnx.load_from_string(onnx_model(seed=7))
    write_onnx(model, path / "model.onnx", precision=INT8)
    (path / "weights.safetensors").write_bytes(WEIGHTS)
    facts = json.loads((folder / "exports" / name / "export.json").read_text())
    facts |= {"format": "onnx-int8", "precision": INT8, "calibration": 300}
    write_json(path / "export.json", facts | {"onnx_sha256": sha256_file(path / "model.onnx")} | export)
    rows = read_graded(folder / "validation" / name / "predictions.csv")
    logits = (20.0, 0.0, 0.0, 0.0, 0.0) if deployed_too else (0.0,) * 5
    rows = [
        dataclasses.replace(row, logits=logits, predicted=4 - row.grade) if index < wrong else row
        for index, row in enumerate(rows)
    ]
    write_graded(folder / "validation" / format_name / "predictions.csv", rows)
    belongs = {"splits_sha256": facts["splits_sha256"]}
    write_json(folder / "validation" / format_name / "decision.json", decision(**belongs).to_dict())
    for stage_name in ("validation", "latency"):
        report = folder / "reports" / stage_name / f"{name}.json"
        entries = json.loads(report.read_text())[stage_name]
        entries[format_name] = dict(entries[name])
        if stage_name == "latency":
            entries[format_name] |= {"p95_ms": 5.0, "mean_ms": 4.0, "steps_ms": {"network": network_ms}}
        write_json(report, {stage_name: entries})


def _rows(folder):
    return {row["candidate"]: row for row in json.loads((folder / "selection.json").read_text())["candidates"]}


def test_a_format_is_a_candidate_and_the_bundle_holds_its_network(stage, capsys):
    _add_int8(stage, "small")
    assert _select(stage) == 0
    rows = _rows(stage)
    assert list(rows) == ["big", "small", "small/onnx-int8"]
    assert (rows["small"]["format"], rows["small/onnx-int8"]["format"]) == ("onnx", "onnx-int8")
    assert rows["small"]["against_float32"] is None
    found = rows["small/onnx-int8"]["against_float32"]
    assert (found["parity"]["changed_grades"], found["parity"]["n"], found["speedup"]) == (0, 80, 2.5)
    assert found["qwk_difference"]["value"] == 0
    assert rows["small/onnx-int8"]["verdict"] == "chosen"
    assert "small/onnx-int8" in capsys.readouterr().out
    assert _package(stage) == 0
    bundle = read_bundle(stage / "release", threads=1)
    assert (bundle.metadata["model"]["precision"], bundle.model.precision) == (INT8, INT8)
    assert bundle.metadata["latency"]["p95_ms"] == 5.0
    assert Scorer.from_bundle(stage / "release", threads=1).score(photograph(1, side_px=512)).grading is not None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wrong": 40}, "the export changes 40 of 80 grades"),
        ({"wrong": 3, "deployed_too": False}, "QWK may fall by more than 0.01"),
        ({"network_ms": 4.9}, "its network is not faster on the target: 1.02 times, at least 1.1 needed"),
        ({"calibration": 299}, "calibrated on 299 training photographs, at least 300 needed"),
    ],
    ids=str,
)
def test_a_format_that_fails_its_gate_is_a_row_with_its_figures_and_is_not_deployed(stage, change, reason):
    _add_int8(stage, "small", **change)
    assert _select(stage) == 0
    row = _rows(stage)["small/onnx-int8"]
    assert row["verdict"] == "not deployable"
    assert any(reason in sentence for sentence in row["reasons"])
    assert row["against_float32"]["parity"]["n"] == 80
    assert row["p95_ms"] == 5.0
    assert json.loads((stage / "selection.json").read_text())["chosen"] == "small"


def test_the_limits_of_formats_stand_in_params(stage):
    _add_int8(stage, "small", wrong=2)
    params = yaml.safe_load((stage / "params.yaml").read_text())
    params["deployment"]["format_limits"] = {"qwk_margin": 1.0, "changed_grades": 0.03, "changed_referrals": 0.03}
    (stage / "params.yaml").write_text(yaml.safe_dump(params))
    assert _select(stage) == 0
    assert _rows(stage)["small/onnx-int8"]["verdict"] == "chosen"


def test_a_format_that_was_not_written_is_a_row(stage):
    facts = json.loads((stage / "exports" / "big" / "export.json").read_text())
    facts |= {"format": "onnx-int8", "precision": INT8, "refusal": "onnx-int8 was not written: no kernel"}
    write_json(stage / "exports" / "big" / "onnx-int8" / "export.json", facts)
    assert _select(stage) == 0
    row = _rows(stage)["big/onnx-int8"]
    assert (row["verdict"], row["reasons"]) == ("not deployable", ["onnx-int8 was not written: no kernel"])
    assert (row["p95_ms"], row["qwk"]["value"]) == (None, None)


def test_a_refused_format_neither_leads_nor_wins():
    best = entrant("a/onnx-int8", low=0.99, p95_ms=1.0, refusals=("it decides differently",))
    selection = select([best, entrant("a")], LIMITS, paired({}))
    assert selection.chosen == selection.leader == "a"
    assert selection.rows[0].reasons == ("it decides differently",)


def test_a_format_that_params_names_must_be_exported(stage, capsys):
    params = yaml.safe_load((stage / "params.yaml").read_text())
    params["deployment"]["formats"] = {"names": ["onnx", "onnx-int8"]}
    (stage / "params.yaml").write_text(yaml.safe_dump(params))
    _add_int8(stage, "big")
    assert _select(stage) == 2
    error = capsys.readouterr().err
    assert "not exported as onnx-int8" in error
    assert str(stage / "exports" / "small") in error
    _add_int8(stage, "small")
    assert _select(stage) == 0


def test_candidates_of_different_splits_do_not_compare(stage, capsys):
    path = stage / "exports" / "small" / "export.json"
    write_json(path, json.loads(path.read_text()) | {"splits_sha256": "ff" * 32})
    assert _select(stage) == 2
    assert "validated on different splits" in capsys.readouterr().err


def test_the_chosen_candidate_is_packed_and_reads_back(stage):
    assert _select(stage) == 0
    assert _package(stage) == 0
    bundle = read_bundle(stage / "release", threads=1)
    assert bundle.metadata["model"]["candidate"] == "small"
    assert bundle.metadata["latency"]["p95_ms"] == 10.0
    assert bundle.metadata["data_hashes"]["splits_sha256"] == sha256_file(stage / "splits.csv")
    first = {path: path.read_bytes() for path in (stage / "release").rglob("*") if path.is_file()}
    assert _package(stage) == 0
    assert {path: path.read_bytes() for path in (stage / "release").rglob("*") if path.is_file()} == first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": "test"}, "fitted on validation only"),
        ({"split": "train"}, "fitted on validation only"),
        ({"splits_sha256": "ff" * 32}, "splits_sha256"),
        ({"fold": "1"}, "fold"),
    ],
    ids=str,
)
def test_parts_that_do_not_belong_together_are_not_packed(stage, capsys, change, said):
    assert _select(stage) == 0
    other = decision(**{"splits_sha256": sha256_file(stage / "splits.csv")} | change)
    write_json(stage / "validation" / "small" / "decision.json", other.to_dict())
    assert _package(stage) == 2
    assert said in capsys.readouterr().err
    assert not (stage / "release").exists()


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors"])
def test_another_model_than_the_exported_one_is_not_packed(stage, capsys, name):
    assert _select(stage) == 0
    (stage / "exports" / "small" / name).write_bytes(onnx_model(seed=9))
    assert _package(stage) == 2
    assert "not the file" in capsys.readouterr().err


def test_thresholds_of_another_split_are_not_packed(stage, capsys):
    assert _select(stage) == 0
    other = dataclasses.replace(GRADABILITY, fitted_on={"splits_sha256": "ff" * 32})
    write_json(stage / "gradability.json", other.to_dict())
    assert _package(stage) == 2
    assert "another split" in capsys.readouterr().err


def test_the_bundle_states_how_the_photographs_of_development_looked_and_no_test_photograph(stage):
    assert _select(stage) == 0
    assert _package(stage) == 0
    reference = read_reference(stage / "release")
    assert reference.overall.photographs == 160
    assert reference.overall.patients == 80
    assert reference.overall.measures["brightness"].quantile(0.5) == 90.0
    # Scores are those of the validation photographs alone.
    assert reference.overall.measures["expected_grade"].photographs == 80
    assert reference.overall.rates["referable"].fraction == 1.0
    assert reference.overall.rates["rejected"].fraction == 0.0
    assert set(reference.sites) == {"hill"}
    assert reference.camera_counts == {"Topcon NW400": 160}


def test_the_reference_is_of_the_split_that_the_network_was_trained_on(stage, capsys):
    assert _select(stage) == 0
    with (stage / "splits.csv").open("a") as stream:
        stream.write("2,t0,,,,hill,,gt,1,test,\n")
    assert _package(stage) == 2
    assert "the network was trained on the split" in capsys.readouterr().err
    assert not (stage / "release").exists()


def test_a_photograph_without_canvas_or_status_is_named(stage, capsys):
    assert _select(stage) == 0
    write_canvas_index(stage / "canvases" / "index.csv", [CanvasRow(image_id="i0", status=Status.SCORED)])
    assert _package(stage) == 2
    assert "159 photographs of the split have no canvas or status, such as 'i1'" in capsys.readouterr().err
