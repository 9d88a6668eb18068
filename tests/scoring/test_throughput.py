"""`bench score` measures real runs: its parts add up, and a folder without photographs is refused."""

import pytest

from dr_pipeline import cli
from dr_pipeline.scoring.throughput import Throughput, measure_throughput
from tests.factories.bundles import photograph

pytestmark = pytest.mark.slow
STEPS = ["read", "decode", "disc", "canvas", "hashes", "text", "quality", "input", "network"]


def test_rates_and_costs_follow_from_the_times():
    measured = Throughput(
        files=100, photographs=10, workers=2, whole_s=5.0, pixel_path_s=0.03, network_s=0.01, steps_ms={}
    )
    assert measured.files_per_s == 20
    assert measured.ideal_per_s == pytest.approx(25)
    assert measured.cost_per_1000(0.36) == pytest.approx(0.005)


def test_a_folder_is_measured_step_by_step(bundle, tmp_path, capsys):
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(photograph(number))
    (tmp_path / "notes.txt").write_text("no photograph")
    files = sorted(tmp_path.iterdir())
    measured = measure_throughput(bundle, tmp_path, files, limit=10, workers=2)
    assert (measured.files, measured.photographs, measured.workers) == (5, 4, 2)
    assert list(measured.steps_ms) == STEPS
    assert min(measured.whole_s, measured.pixel_path_s, measured.network_s) > 0
    assert sorted(tmp_path.iterdir()) == files  # nothing is left behind
    assert cli.main(["bench", "score", str(tmp_path), "--bundle", str(bundle), "--price-per-hour", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "5 files in " in printed
    assert "% of the ideal" in printed
    assert "1,000 files: " in printed
    assert all(f"  {step} " in printed for step in STEPS)


def test_a_folder_without_photographs_is_refused(bundle, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no photograph")
    assert cli.main(["bench", "score", str(tmp_path), "--bundle", str(bundle)]) == cli.EXIT_USER_ERROR
    assert "no photograph that can be decoded" in capsys.readouterr().err
