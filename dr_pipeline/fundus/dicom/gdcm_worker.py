"""Decodes with gdcm, in a process of its own.

On some corrupt JPEG-LS, lossless JPEG and JPEG 2000 streams gdcm 3.2.6 aborts or reads beyond its buffers: on 43 of
9,000 randomly damaged ones, and on one of them it never returned. In a process of its own a corrupt file ends that
process, not the run. Starting it takes 0.06 s; decoding takes about a second.

This file is also that process's program. Run as a script, it imports nothing of this package.
"""

import faulthandler
import json
import os
import subprocess
import sys
from pathlib import Path

# Time limit for a stream: a start that even a busy machine achieves, and more than ten times what gdcm takes.
SECONDS = 30.0
SECONDS_PER_MEGAPIXEL = 5.0
# Exit status if gdcm is not installed.
_NO_GDCM = 3


def gdcm_decode(stream: bytes, frame: dict[str, int | str]) -> bytes:
    """Decodes one frame.

    Args:
        stream: The compressed frame.
        frame: syntax, photometric, width, height, samples, allocated (8 or 16) and stored (the stream's own bits).

    Returns:
        Pixels, colour by pixel, in the machine's byte order.

    Raises:
        ImageError: gdcm refuses the stream, crashes, or takes too long.
    """
    from dr_pipeline.errors import ImageError

    limit = SECONDS + SECONDS_PER_MEGAPIXEL * int(frame["width"]) * int(frame["height"]) / 1e6
    try:
        # -P: nothing is imported from this file's folder.
        process = subprocess.run(
            [sys.executable, "-P", str(Path(__file__)), json.dumps(frame), str(limit)],
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
    if process.returncode == _NO_GDCM:
        raise ImageError("gdcm cannot be imported", todo="pip install python-gdcm")
    expected = int(frame["width"]) * int(frame["height"]) * int(frame["samples"]) * int(frame["allocated"]) // 8
    if process.returncode or len(process.stdout) != expected:
        raise ImageError(
            "cannot be decoded: the compressed picture is truncated or corrupt", todo="copy the file again"
        )
    return process.stdout


def _main(frame: dict[str, int | str], stream: bytes) -> bytes:
    """Decodes one frame with gdcm, as pydicom's plug-in does."""
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
    image.SetDimensions((frame["width"], frame["height"], 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(frame["photometric"])
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if frame["samples"] == 3:
        image.SetPlanarConfiguration(0)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(frame["syntax"])))
    stored = int(frame["stored"])
    image.SetPixelFormat(gdcm.PixelFormat(frame["samples"], frame["allocated"], stored, stored - 1, 0))
    pixels: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")  # gdcm returns bytes as text
    return pixels


if __name__ == "__main__":
    # Ends this process even within gdcm, in case its parent is killed before the time limit.
    faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True, file=sys.stderr)
    # Output of gdcm's libraries must not mix with the pixels.
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        output.write(_main(json.loads(sys.argv[1]), sys.stdin.buffer.read()))
