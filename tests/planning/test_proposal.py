"""The rules and the proposal: always a valid params.yaml, monotone where they should be, a reason for everything."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.models.weights.packages import known_reference
from dr_pipeline.params.candidate import model_family
from dr_pipeline.params.root import load_params
from dr_pipeline.params.yaml_text import with_values
from dr_pipeline.planning import rules
from dr_pipeline.planning.candidate_plan import fit_memory
from dr_pipeline.planning.networks import NETWORKS
from dr_pipeline.planning.plan_inputs import MeasuredLatency, PlanInputs, TrainingMachine
from dr_pipeline.planning.proposal import propose
from dr_pipeline.recipes.compose import recipe_text
from tests.factories.planning_inputs import CPU, GPU, any_inputs, cost, fingerprint, params, plan_inputs, write

pytestmark = pytest.mark.slow

RARE = (25_000, 2_400, 5_200, 800, 700)
tiny_machine = TrainingMachine(cores=1, memory_gib=0.05, gpu="", gpu_memory_gib=0.0, compiler=False)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inputs=any_inputs())
def test_a_proposal_is_a_valid_params_file_with_a_reason_for_each_value(tmp_path: Path, inputs: PlanInputs) -> None:
    try:
        proposal = propose(inputs)
    except EnvironmentProblem:
        if inputs.latency is None:
            raise
        reject()  # no network keeps this latency
    text = with_values(recipe_text("synthetic"), proposal.values, proposal.candidates)
    proposed, present = load_params(write(tmp_path / "params.yaml", text)), params()
    for untouched in ("split", "folds", "dataset", "operating_point"):  # another split has another test part
        assert getattr(proposed, untouched) == getattr(present, untouched)
    assert list(proposed.candidates) == list(proposal.candidates)
    explained = {reason.key for reason in proposal.reasons}
    assert set(proposal.values) <= explained
    for name in proposal.candidates:
        assert f"candidates.{name}.input_px" in explained
    named = {*proposal.candidates, *(network.name for network in proposal.left_out)}
    assert named == {network.name for network in NETWORKS}
    assert all(reason.why for reason in proposal.reasons)


@settings(deadline=None, max_examples=25)
@given(inputs=any_inputs(), factor=st.integers(2, 20))
def test_more_photographs_never_mean_fewer_candidates(inputs: PlanInputs, factor: int) -> None:
    data = inputs.fingerprint
    more = replace(
        data,
        photographs=data.photographs * factor,
        validation_photographs=data.validation_photographs * factor,
        by_grade=tuple(count * factor for count in data.by_grade),
        groups_by_grade=tuple(count * factor for count in data.groups_by_grade),
    )
    inputs = replace(inputs, minutes=None, latency=None)
    fewer = propose(inputs)
    assert set(fewer.candidates) <= set(propose(replace(inputs, fingerprint=more)).candidates)


@settings(deadline=None, max_examples=25)
@given(inputs=any_inputs(), minutes=st.floats(0.1, 1e4), factor=st.floats(1, 100))
def test_more_time_never_means_fewer_candidates_or_a_smaller_input(
    inputs: PlanInputs, minutes: float, factor: float
) -> None:
    inputs = replace(inputs, latency=None)
    short, long = (propose(replace(inputs, minutes=limit)) for limit in (minutes, minutes * factor))
    assert set(short.candidates) <= set(long.candidates)
    for name, candidate in short.candidates.items():
        assert candidate["input_px"] <= long.candidates[name]["input_px"]


@settings(deadline=None, max_examples=25)
@given(inputs=any_inputs())
def test_the_time_budget_is_kept_or_the_proposal_states_that_it_is_not(inputs: PlanInputs) -> None:
    inputs = replace(inputs, latency=None, minutes=inputs.minutes or 100.0)
    proposal = propose(inputs)
    if proposal.minutes is not None and inputs.minutes is not None and proposal.minutes > inputs.minutes:
        assert any("takes longer than" in reason.why for reason in proposal.reasons)
        assert len(proposal.candidates) == 1


def test_time_for_four_trainings_buys_a_student_of_three_networks() -> None:
    inputs = replace(plan_inputs(machine=CPU), latency=None, minutes=None)
    minutes = propose(inputs).minutes
    assert minutes is not None
    for budget, taught in ((3.9 * minutes, False), (4.1 * minutes, True)):
        proposal = propose(replace(inputs, minutes=budget))
        assert (proposal.values.get("training.distillation.teacher") == "seeds") is taught
        assert {one["ensemble"]["seeds"] for one in proposal.candidates.values()} == ({3} if taught else {1})
        assert proposal.minutes == pytest.approx(minutes * (4 if taught else 1))
        text = with_values(recipe_text("synthetic"), proposal.values, proposal.candidates)
        assert "teacher: seeds" in text or not taught


def test_a_teacher_that_was_named_stays() -> None:
    inputs = replace(plan_inputs(machine=CPU), latency=None, minutes=1e9)
    training = inputs.params.training
    own = training.model_copy(
        update={"distillation": training.distillation.model_copy(update={"teacher": "bundle:data/teacher"})}
    )
    proposal = propose(replace(inputs, params=inputs.params.model_copy(update={"training": own})))
    assert "training.distillation.teacher" not in proposal.values


def test_networks_know_their_own_family() -> None:
    assert [network.family for network in NETWORKS] == [model_family(network.model) for network in NETWORKS]


def test_a_large_set_with_published_weights_gets_the_heavy_networks() -> None:
    proposal = propose(plan_inputs(fingerprint(RARE), present=params("eyepacs"), machine=GPU))
    assert list(proposal.candidates) == ["lite0", "lite1", "lite2", "b0", "b3", "resnet50", "vit_b16"]
    transformer = proposal.candidates["vit_b16"]
    assert transformer["fine_tuning"]["layer_decay"] == 0.75
    assert transformer["input_px"] == 224
    assert transformer["learning_rate"] < proposal.candidates["b3"]["learning_rate"]
    assert proposal.candidates["lite0"]["weights"] == known_reference("tf_efficientnet_lite0")
    assert {name for name, candidate in proposal.candidates.items() if candidate["weights"] != "timm"} == {
        "lite0",
        "lite1",
    }


def test_a_vision_transformer_never_starts_from_random_weights() -> None:
    proposal = propose(plan_inputs(fingerprint(RARE), machine=GPU))
    assert "vit_b16" not in proposal.candidates
    assert "random weights" in next(network.why for network in proposal.left_out if network.name == "vit_b16")


def test_where_one_network_has_weights_others_do_not_start_without() -> None:
    inputs = plan_inputs(fingerprint(RARE), present=params("idrid", weights="file:data/weights"))
    assert {name: one["weights"] for name, one in propose(inputs).candidates.items()} == {"lite0": "file:data/weights"}


@pytest.mark.parametrize(
    ("recipe", "weights"), [("idrid", "present"), ("eyepacs", "package"), ("synthetic", "package")]
)
def test_with_weights_of_packages_no_hub_is_needed(recipe: str, weights: str) -> None:
    proposal = propose(plan_inputs(fingerprint(RARE), present=params(recipe), weights=weights, machine=GPU))
    expected = {f"lite{size}": known_reference(f"tf_efficientnet_lite{size}") for size in range(3)}
    assert {name: one["weights"] for name, one in proposal.candidates.items()} == expected
    assert rules.start_of(proposal.candidates["lite0"]["weights"]) == "published"
    assert {network.name for network in proposal.left_out} >= {"b0", "b3", "resnet50", "vit_b16"}


def test_a_finished_bundle_trains_at_a_tenth_of_the_rate_with_a_reason() -> None:
    proposed = {}
    for weights in ("file:data/weights", "bundle:data/release#0123456789abcdef"):
        proposal = propose(plan_inputs(fingerprint(RARE), present=params("idrid", weights=weights)))
        reasons = {reason.key: reason for reason in proposal.reasons}
        proposed[weights[:4]] = proposal.candidates["lite0"], reasons["candidates.lite0.learning_rate"]
    (published, _), (bundle, reason) = proposed["file"], proposed["bund"]
    assert bundle["learning_rate"] == pytest.approx(published["learning_rate"] / 10, abs=1e-7)
    assert bundle["epochs"] == published["epochs"]
    assert "a bundle that grades already" in reason.why
    assert "README.md" in reason.source


def test_the_measured_latency_lowers_the_input_and_allows_views() -> None:
    gmacs = cost("tf_efficientnet_lite0", 320).total_macs / 1e9
    slow = MeasuredLatency("lite0", 10.0, 60.0 / gmacs)  # 70 ms at 320 px
    tight = propose(plan_inputs(latency=slow, latency_ms=55.0))
    assert tight.candidates["lite0"]["input_px"] == 224  # 10 + 60 · (224/320)² = 39.4, at 256 px 48.4; 44 are free
    assert tight.candidates["lite0"]["ensemble"]["views"] == ["identity"]
    roomy = propose(plan_inputs(latency=slow, latency_ms=200.0))
    assert roomy.candidates["lite0"]["input_px"] == 320
    assert roomy.candidates["lite0"]["ensemble"]["views"] == ["identity", "mirror"]
    assert roomy.values["deployment.latency_budget_ms"] == 200.0


def test_no_room_at_all_is_an_error_with_reasons() -> None:
    with pytest.raises(EnvironmentProblem, match=r"do not fit into 0\.05 GiB"):
        propose(plan_inputs(machine=tiny_machine))
    with pytest.raises(EnvironmentProblem, match="too slow for 55 ms"):
        propose(plan_inputs(latency=MeasuredLatency("lite0", 60.0, 1.0)))


def test_what_is_not_validated_trains() -> None:
    assert propose(plan_inputs(fingerprint(validation_photographs=100))).training_photographs == 600


@given(st.integers(1, 200_000), st.integers(1, 200_000))
def test_class_weights_never_exceed_five_to_one(first: int, second: int) -> None:
    imbalance = max(first, second) / min(first, second)
    exponent = rules.class_weight_exponent(imbalance).value
    assert 0 <= exponent <= 0.5
    assert imbalance**exponent <= 5.0 + 1e-9


@given(st.floats(32, 10_000))
def test_the_input_is_never_larger_than_the_photographs(disc_px: float) -> None:
    side = rules.input_px(disc_px).value
    assert side % 32 == 0
    assert rules.SMALLEST_PX <= side <= max(rules.SMALLEST_PX, disc_px)


@given(st.integers(64, 2048), st.integers(5, 16).map(lambda n: 32 * n), st.floats(40, 6000))
def test_canvases_hold_every_input(present: int, largest: int, disc_px: float) -> None:
    assert largest <= rules.canvas_px(present, largest, disc_px).value <= max(2 * largest, 64)


@given(st.floats(0.01, 64), st.integers(2, 32), st.integers(0, 4), st.integers(5, 16))
def test_memory_is_kept_and_more_memory_never_needs_more_tricks(
    gib: float, batch: int, place: int, strides: int
) -> None:
    counted = cost(NETWORKS[place].model, 32 * strides)
    fit, roomy = fit_memory(counted, batch, gib), fit_memory(counted, batch, 2 * gib)
    if fit is None:
        assert 0.5 * counted.training_bytes(2) > 0.5 * 0.7 * gib * 2**30
        return
    assert fit.bytes_needed <= 0.7 * gib * 2**30
    assert batch // fit.accumulation >= 2
    assert roomy is not None
    assert roomy.gradient_checkpointing <= fit.gradient_checkpointing
    if roomy.gradient_checkpointing == fit.gradient_checkpointing:
        assert roomy.accumulation <= fit.accumulation


@given(st.integers(1, 100_000), st.sampled_from(["published", "bundle", "random"]))
def test_epochs_and_batches_stay_within_their_limits(training: int, start: rules.Start) -> None:
    batch = rules.batch_photographs(training).value
    assert 2 <= batch <= 32
    count = rules.epochs(training, batch, start=start).value
    assert 10 <= count <= 90
    assert 0.9 <= rules.ema_decay(count * math.ceil(training / batch)).value <= 0.999


@pytest.mark.parametrize(
    ("minutes", "on_gpu", "compiler", "on"),
    [(None, False, True, False), (5.0, False, True, False), (30.0, False, True, True), (30.0, False, False, False)],
)
def test_compiling_must_be_worth_its_start(minutes: float | None, on_gpu: bool, compiler: bool, on: bool) -> None:
    assert rules.compiled(minutes, on_gpu=on_gpu, compiler=compiler).value is on


def test_several_cameras_mean_stronger_changes() -> None:
    single = propose(plan_inputs(fingerprint(cameras={"a": 700})))
    several = propose(plan_inputs(fingerprint(cameras=dict.fromkeys("abcde", 140))))
    for name in ("brightness", "blur_probability"):
        key = f"training.augmentation.{name}"
        assert several.values[key] > single.values[key]


def test_cpus_by_name_only() -> None:
    assert CPU.training_memory_gib == 16.0
    assert GPU.training_memory_gib == 24.0


def test_candidates_that_may_not_be_deployed_are_reported() -> None:
    latency = MeasuredLatency("lite0", 1.0, 0.1)
    proposal = propose(plan_inputs(present=params(families=["resnet"]), latency=latency))
    assert proposal.values["deployment.families"] == ["resnet"]
    assert "nothing to deploy" in next(reason.why for reason in proposal.reasons if reason.key == "deployment.families")
    assert proposal.candidates["lite0"]["ensemble"]["views"] == ["identity"]
