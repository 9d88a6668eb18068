"""The next command, as it is copied into a shell."""

import shlex
from pathlib import Path

import pytest

from dr_pipeline import cli
from tests.factories.bundles import make_bundle


@pytest.mark.parametrize("name", ["a b", "it's", "$(reboot)", "a\nb", "ä;b", "plain-1.2"])
def test_a_path_is_one_word_of_the_next_command(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, packed = make_bundle(tmp_path / "release"), tmp_path / f"{name}.drbundle"
    assert cli.main(["pack", str(bundle), "--out", str(packed)]) == 0
    command = capsys.readouterr().out.partition("\nnext: ")[2]
    assert shlex.split(command) == ["dr-pipeline", "verify", str(packed)]
