"""Exactly one OpenCV is installed; a failed import gives an actionable error."""

import os
import subprocess
import sys

import pytest

from dr_pipeline.fundus.opencv import cv2, import_problem, installed_distributions


def test_exactly_one_opencv_is_installed_and_it_runs_one_thread():
    assert installed_distributions() == ["opencv-python-headless"]
    assert cv2.getNumThreads() == 1


@pytest.mark.parametrize(
    ("message", "installed", "expected"),
    [
        ("libGL.so.1: cannot open shared object file", ["opencv-python"], "libGL"),
        ("module 'cv2' is broken", ["opencv-python", "opencv-python-headless"], "2 times"),
        ("No module named 'cv2'", [], "cannot be imported"),
    ],
)
def test_a_failed_import_has_a_remedy(message, installed, expected):
    problem = import_problem(ImportError(message), installed)
    assert expected in problem.what
    assert "pip install opencv-python-headless" in problem.todo
    assert problem.where == message


def test_without_libgl_the_error_names_it(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    code = (
        "from dr_pipeline.errors import EnvironmentProblem\n"
        "try:\n    import dr_pipeline.fundus.decode\n"
        "except EnvironmentProblem as problem:\n    print(problem)"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    result = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)  # fmt: skip # noqa: E501
    assert "needs libGL, which this host lacks" in result.stdout, result.stderr
