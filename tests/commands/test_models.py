"""The command `models`, by the command line."""

import pytest

from dr_pipeline.cli import EXIT_USER_ERROR, main


def test_list_names_the_models_that_match(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "lite0", "--pretrained"]) == 0
    out = capsys.readouterr().out
    assert "tf_efficientnet_lite0.in1k  224×224 px  apache-2.0" in out
    assert "next: dr-pipeline models show" in out


def test_show_prints_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "resnet18", "--batch", "4"]) == 0
    out = capsys.readouterr().out
    for word in (
        "1.814 at 224 px",
        "crop_pct    1.0 here",
        "licence apache-2.0",
        "11.18 M",
        "batch of 4",
        "medium",
        "fc;",
    ):
        assert word in out, word


def test_an_unknown_name_is_a_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "resnet_18"]) == EXIT_USER_ERROR
    assert "resnet18" in capsys.readouterr().err
