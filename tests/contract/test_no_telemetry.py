"""No library sends telemetry: ONNX Runtime leaves a device id and a database in the home folder where it does."""

import os
import subprocess
import sys
from pathlib import Path

from tests.factories.bundles import onnx_model


def test_a_session_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_model())
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith(("ORT_", "XDG_"))}
    script = "from pathlib import Path; from dr_pipeline.bundle.session import OnnxModel as M; M(Path('{}'), threads=1)"
    command = [sys.executable, "-c", script.format(tmp_path / "model.onnx")]
    subprocess.run(command, check=True, env=kept | {"HOME": str(home)})
    assert list(home.rglob("*")) == []
