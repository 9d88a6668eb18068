"""A decoder that crashes, hangs or is left behind costs its file only."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.dicom import gdcm_worker
from tests.factories.dicom_samples import ISOLATED, picture_or_reason


@settings(max_examples=25, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(ISOLATED)))
def test_a_damaged_stream_gives_a_picture_or_a_reason(data, kind):
    damaged = bytearray(ISOLATED[kind])
    start = damaged.index(b"\xfe\xff\x00\xe0")
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(start, min(start + 300, len(damaged) - 1)))] = data.draw(st.integers(0, 255))
    picture_or_reason(bytes(damaged))


def test_a_decoder_that_crashes_or_hangs_gives_a_reason(monkeypatch, tmp_path):
    data = ISOLATED["JPEG-LS"]
    program = tmp_path / "program.py"
    monkeypatch.setattr(gdcm_worker, "__file__", str(program))
    program.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(ImageError, match="truncated or corrupt"):
        decode(data, 32)
    program.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(gdcm_worker, "SECONDS", 0.2)
    with pytest.raises(ImageError, match="cannot be decoded within 0 s"):
        decode(data, 32)
    program.write_text("import sys; sys.exit(3)")
    with pytest.raises(ImageError, match="gdcm cannot be imported"):
        decode(data, 32)


def test_an_orphaned_decoder_ends_itself(tmp_path):
    """As where the run was killed while gdcm went in circles."""
    (tmp_path / "gdcm.py").write_text("while True:\n    pass\n")
    child = subprocess.Popen(
        [sys.executable, "-P", gdcm_worker.__file__, "{}", "0.3"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert child.wait(10) != 0
