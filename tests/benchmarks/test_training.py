"""The training benchmarks' own reckoning: what is read from logs, and what is made of rates."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.training_comparison import chosen, mean_rate, with_canvases_made
from benchmarks.training_machine import machine_kind, mean_utilisation, spread
from benchmarks.training_ours import Job, candidate, training_params
from benchmarks.training_table import row
from benchmarks.training_timm import Settings, command_line, epoch_rates
from dr_pipeline.models.grader import create_grader, num_parameters
from dr_pipeline.tables.splits import SPLITS
from tests.factories import REPOSITORY
from tests.factories.csv_files import write_csv

PARAMS = REPOSITORY / "params.yaml"
# Lines of timm 1.0.
LOG = """\
Scheduled epochs: 2. LR stepped per update.
Train: 0 [   0/3 ( 33%)]  Loss: 1.6 (1.60)  Time: 9.000s,    1.78/s  (9.000s,    1.78/s)  LR: 1.0e-03  Data: 0.1 (0.1)
Train: 0 [   2/3 (100%)]  Loss: 1.6 (1.62)  Time: 0.500s,   32.00/s  (4.000s,    4.00/s)  LR: 9.0e-04  Data: 0.1 (0.1)
Test: [   0/0]  Time: 0.150 (0.150)  Loss:   1.640 ( 1.640)  Acc@1:  18.750 ( 18.750)
Train: 1 [   0/3 ( 33%)]  Loss: 1.6 (1.60)  Time: 0.600s,   26.67/s  (0.600s,   26.67/s)  LR: 5.0e-04  Data: 0.1 (0.1)
Train: 1 [   2/3 (100%)]  Loss: 1.6 (1.59)  Time: 0.500s,   32.00/s  (0.512s,   31.25/s)  LR: 1.0e-04  Data: 0.1 (0.1)
"""


def job(**changes: object) -> Job:
    settings: dict[str, object] = {
        "params": str(PARAMS), "canvases": "", "splits": "", "image_ids": [], "validation_ids": [],
        "model": "mobilenetv3_small_050", "input_px": 64, "batch": 8, "epochs": 2, "precision": "32-true",
        "augment": False, "cached": False, "compile": False,
    }  # fmt: skip
    return Job(**(settings | changes))  # type: ignore[arg-type]


def test_the_last_line_of_an_epoch_holds_its_mean_rate() -> None:
    assert epoch_rates(LOG) == [4.0, 31.25]


def test_a_log_without_steps_has_no_rates() -> None:
    assert epoch_rates("Traceback (most recent call last):\n") == []


@pytest.mark.parametrize(
    ("samples", "share"), [("80\n100\n", 0.9), ("", None), ("[Not Supported]\n", None), ("0\n[N/A]\n50\n", 0.25)]
)
def test_gpu_samples(samples: str, share: float | None) -> None:
    assert mean_utilisation(samples) == share


def test_kind_of_machine_is_a_file_name() -> None:
    assert machine_kind({"gpus": ["NVIDIA H200"], "usable_cores": 16}) == "nvidia-h200"
    assert machine_kind({"gpus": [], "usable_cores": 2}) == "cpu-2-cores"


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=9))
def test_mean_rate_is_all_images_by_all_time(rates: list[float]) -> None:
    seconds = sum(64 / rate for rate in rates)
    assert mean_rate({"images_per_s": rates}) == pytest.approx(64 * len(rates) / seconds)
    assert spread(rates)["low"] <= spread(rates)["median"] <= spread(rates)["high"]


@given(st.floats(1, 1e3), st.floats(1, 1e3), st.integers(1, 50))
def test_making_canvases_costs_less_the_more_epochs_share_it(rate: float, made: float, epochs: int) -> None:
    images = 640
    seconds = images / made + epochs * images / rate
    assert with_canvases_made(rate, made, epochs) == pytest.approx(epochs * images / seconds)
    assert with_canvases_made(rate, made, epochs) < with_canvases_made(rate, made, epochs + 1) < rate


def test_photographs_are_whole_batches_with_every_grade(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    rows = [
        {
            "schema_version": SPLITS.version,
            "image_id": f"i{number:02d}",
            "group": f"g{number}",
            "grade": 4 if number < 2 else number % 4,
            "split": "test" if number == 20 else "development",
            "fold": "" if number == 20 else "0",
        }
        for number in range(40)
    ]
    write_csv(path, SPLITS.columns, [dict.fromkeys(SPLITS.columns, "") | each for each in rows])
    training, validation = chosen(path, 30, 8)
    assert len(training) == 24
    assert set(training.values()) == {0, 1, 2, 3, 4}
    assert "i20" not in training
    assert validation.items() <= training.items()
    assert len(chosen(path, 1000, 8)[0]) == 32
    with pytest.raises(SystemExit, match="two batches need 64"):
        chosen(path, 1000, 32)


def test_without_augmentation_nothing_is_changed() -> None:
    plain, as_given = training_params(job()), training_params(job(augment=True))
    assert set(plain.augmentation.model_dump().values()) == {0}
    assert as_given.augmentation.rotation_deg > 0
    assert plain.objective == as_given.objective
    assert candidate(job()).batch_photographs == 8


def test_timm_is_given_the_same_settings() -> None:
    params = training_params(job())
    settings = Settings("resnet10t", 64, 8, 2, "32-true", False, params)
    line = " ".join(command_line(Path("train.py"), Path("data"), Path("out"), settings, workers=1, steps=4))
    wanted = ["--model resnet10t", "--img-size 64", "--batch-size 8", "--no-aug", "--device cpu", "--log-interval 3"]
    for text in (*wanted, f"--weight-decay {params.weight_decay}", f"--clip-grad {params.clip_norm}"):
        assert text in line
    assert "--amp" not in line
    on_gpu = Settings("resnet10t", 64, 8, 2, "bf16-mixed", True, params)
    line = " ".join(command_line(Path("train.py"), Path("data"), Path("out"), on_gpu, workers=1, steps=1))
    for text in ("--amp ", "--amp-dtype bfloat16", "--device cuda", "--torchcompile inductor", "--log-interval 1"):
        assert text in line


def test_a_row_of_the_architecture_table() -> None:
    found = row("mobilenetv3_small_050", 32, 2, "32-true", 1)
    network = create_grader("mobilenetv3_small_050", input_px=32, drop_rate=0.0, drop_path_rate=0.0)
    assert found["parameters"] == num_parameters(network)
    assert found["gmacs"] == pytest.approx(1e-3, abs=1e-3)
    assert min(found["training_images_per_s"], found["inference_images_per_s"]) > 0
    assert found["training_peak_gib"]["resident"] > 0
