"""Decodes the compressed streams that only gdcm reads, in a process of their own.

gdcm 3.2.6 aborts or reads beyond its buffers on some corrupt JPEG-LS, lossless JPEG and JPEG 2000 streams (43 of 9,000
randomly damaged ones, one of which it never ended). In a process of its own a broken file costs
that process, not the run; starting it takes 0.06 s beside a decoding time of about a second.

This file is also that process's program: run as a script it imports nothing of this package.
"""

import faulthandler
import json
import os
import subprocess
import sys
from pathlib import Path

# How long a stream may take: a start that even a busy machine makes, and more than ten times what gdcm takes.
SECONDS = 30.0
SECONDS_PER_MEGAPIXEL = 5.0
# The process's answer where gdcm is not installed.
_NO_GDCM = 3


def gdcm_decode(stream: bytes, facts: dict[str, int | str]) -> bytes:
    """Decodes one frame.

    Args:
        stream: The compressed frame.
        facts: syntax, photometric, width, height, samples, allocated (8 or 16) and stored (the stream's own bits).

    Returns:
        Pixels, colour by pixel, in native byte order.

    Raises:
        ImageError: gdcm refuses the stream, dies of it, or takes too long.
    """
    from dr_pipeline.errors import ImageError

    limit = SECONDS + SECONDS_PER_MEGAPIXEL * int(facts["width"]) * int(facts["height"]) / 1e6
    try:
        # -P: the folder of this file is no place to import from.
        done = subprocess.run(
            [sys.executable, "-P", str(Path(__file__)), json.dumps(facts), str(limit)],
            input=stream,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ImageError(f"cannot be decoded within {limit:.0f} s: the stream is corrupt") from None
    except OSError as error:
        raise ImageError(f"gdcm's process cannot be started: {error.strerror}") from None
    if done.returncode == _NO_GDCM:
        raise ImageError("gdcm cannot be imported", todo="pip install python-gdcm")
    expected = int(facts["width"]) * int(facts["height"]) * int(facts["samples"]) * int(facts["allocated"]) // 8
    if done.returncode or len(done.stdout) != expected:
        raise ImageError("cannot be decoded: the compressed picture is truncated or corrupt", todo="copy the file anew")
    return done.stdout


def _main(facts: dict[str, int | str], stream: bytes) -> bytes:
    """Hands one frame to gdcm, as pydicom's plug-in does."""
    try:
        import gdcm  # type: ignore[import-untyped]
    except ImportError:
        sys.exit(_NO_GDCM)

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((facts["width"], facts["height"], 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(facts["photometric"])
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if facts["samples"] == 3:
        image.SetPlanarConfiguration(0)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(facts["syntax"])))
    stored = int(facts["stored"])
    image.SetPixelFormat(gdcm.PixelFormat(facts["samples"], facts["allocated"], stored, stored - 1, 0))
    pixels: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")  # gdcm hands bytes over as text
    return pixels


if __name__ == "__main__":
    # Ends this process even inside gdcm, should the one that waits for it be killed before the time is up.
    faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True, file=sys.stderr)
    # Nothing that gdcm's libraries print may come between the pixels.
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)
        answer.write(_main(json.loads(sys.argv[1]), sys.stdin.buffer.read()))
