"""Bundles with one changed bit, for tests and benchmarks/tamper.py."""

import random
from collections.abc import Iterator
from pathlib import Path

from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.signature import require_signature
from dr_pipeline.bundle.verify import verify_weights
from dr_pipeline.errors import BundleError


def flips(files: list[Path], number: int, *, seed: int) -> Iterator[str]:
    """Flips one bit of one file at a time, and back again; yields what is changed.

    Every second file is drawn by its size and the others without regard to it, so that small ones are hit too.
    """
    rng = random.Random(seed)
    sizes = [path.stat().st_size for path in files]
    for turn in range(number):
        file = rng.choice(files) if turn % 2 else rng.choices(files, sizes)[0]
        at, bit = rng.randrange(file.stat().st_size), rng.randrange(8)
        _flip(file, at, bit)
        try:
            yield f"{file.name}, byte {at}, bit {bit}"
        finally:
            _flip(file, at, bit)


def refused(root: Path, key: Path) -> bool:
    """Whether `verify --require-signature` refuses the bundle."""
    try:
        require_signature(root, key)
        read_bundle(root, threads=1)
        verify_weights(root)
    except BundleError:
        return True
    return False


def _flip(file: Path, at: int, bit: int) -> None:
    with file.open("r+b") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ 1 << bit]))
