"""Finds progressive JPEGs that were decoded out of step, by where each scan ends.

After a changed byte a Huffman decoder reads other codes until it falls into step again, mostly some blocks too early or
too late: what follows is displaced by them. In a sequential scan that displaces the picture, which `seams` sees; in a
progressive one it displaces some frequencies or bits of them, which leaves no seam. But the number of blocks is known:
with the last one a scan must end, within its last byte, whose unused bits are ones (T.81, F.1.2.3), and no run of ended
blocks may go on (G.1.2.2). libjpeg looks at none of it: it reads up to 8 bytes ahead, and takes them for used.

A coefficient is named by 64 * its block's number + its place in the zigzag order.
"""

import re
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.formats.jpeg import END_OF_IMAGE, START_OF_FRAME, START_OF_SCAN, end_of_scan, segments

_HUFFMAN_TABLES, _RESTART_INTERVAL = 0xC4, 0xDD
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_BLOCK_PX, _COEFFICIENTS = 8, 64
_LONGEST_CODE = 16
# In a table's identifier: it is one for AC coefficients.
_AC = 0x10
# A run of zeros that no coefficient follows ends the block, but for the longest.
_LONGEST_RUN = 15
# Behind the data: more than a unit can read beyond them.
_BEHIND = b"\xff" * 64
_NONE = np.empty(0, np.int64)
_OUT_OF_STEP = "a scan of it does not end with its last block"
# What is out of step ends with the next restart, and libjpeg warns if one is missing: of so many intervals one alone is
# 0.5 % of the picture, too little to be visible.
_MAX_INTERVALS = 200
# IDRiD's photographs, saved again as progressive files of quality 90, have about 0.5 MB, which takes 0.25 s.
_MAX_BYTES = 16_000_000


@dataclass(frozen=True, eq=False)
class _Table:
    """A Huffman table, of each 16 bits that may come next: what they begin with.

    Attributes:
        symbols: (65536,) Run of zeros and size of the coefficient, four bits each; of DC the size alone.
        bits: (65536,) How many bits the code takes, with those of the coefficient or of the run of blocks.
    """

    symbols: NDArray[np.uint8]
    bits: NDArray[np.uint8]

    @cached_property
    def lists(self) -> tuple[list[int], list[int]]:
        """Both, for loops: an element of a list is read several times faster."""
        return self.symbols.tolist(), self.bits.tolist()


@dataclass(frozen=True, eq=False)
class _Scan:
    """A scan.

    Attributes:
        component: Its first or only component.
        units: How many minimum coded units it has.
        tables: For each block of a unit; unused if DC is refined.
        first: The first coefficient of its band; 0 is DC.
        last: The last one.
        refines: Whether the coefficients have begun in an earlier scan.
        interval: Units between two restarts; 0 if there are none.
        data: Its entropy-coded segments, with the restarts.
    """

    component: int
    units: int
    tables: tuple[_Table, ...]
    first: int
    last: int
    refines: bool
    interval: int
    data: bytes


def doubt_of_scans(picture: bytes) -> str:
    """Says why the scans of a progressive JPEG seem damaged; "" if each ends with its last block.

    Args:
        picture: From the start marker to the end marker; libjpeg decodes it without a warning.
    """
    if len(picture) > _MAX_BYTES:
        return f"progressive and over {_MAX_BYTES // 10**6} MB: its scans are too long to be checked"
    known: dict[int, NDArray[np.int64]] = {}  # of each component the AC coefficients that are not zero
    paddings: set[int] = set()
    for scan in _scans(picture):
        if scan.interval and scan.units > _MAX_INTERVALS * scan.interval:
            return ""
        before = known.get(scan.component, _NONE)
        found, begin = [before], 0
        for segment in _RESTART.split(scan.data):
            data = segment.replace(b"\xff\x00", b"\xff")
            units = min(scan.interval or scan.units, scan.units - begin)
            end, coefficients = _read(data, scan, begin, units, before)
            unused = 8 * len(data) - end
            if end < 0 or not 0 <= unused < 8:
                return _OUT_OF_STEP
            if unused:
                paddings.add(_signed(data[-1], unused))
            begin += units
            found.append(coefficients)
        if begin < scan.units:
            return _OUT_OF_STEP
        known[scan.component] = np.sort(np.concatenate(found))
    # Ones; or zeros throughout, by an encoder that does not keep to the standard.
    return _OUT_OF_STEP if paddings not in ({-1}, {0}, set()) else ""


def _signed(octet: int, bits: int) -> int:
    """The last bits of a byte as a signed number: -1 if all are ones."""
    value = octet & (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def _read(data: bytes, scan: _Scan, begin: int, units: int, known: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """Follows the codes of so many units.

    Returns:
        Where the last unit ends, bits, or -1 if the codes do not fit; and the AC coefficients that are zero no more.
    """
    if scan.refines and not scan.first:
        return units * len(scan.tables), _NONE
    octets = np.frombuffer(data + _BEHIND, np.uint8).astype(np.int32)
    following = octets[:-2] << 16 | octets[1:-1] << 8 | octets[2:]  # from each byte on
    if not scan.first:
        return _read_dc(following, scan.tables, units, 8 * len(data)), _NONE
    if not scan.refines:
        return _read_ac(following, scan, begin, units, 8 * len(data))
    return _refine_ac(following, scan, begin, units, 8 * len(data), known)


def _read_dc(following: NDArray[np.int32], tables: tuple[_Table, ...], units: int, end: int) -> int:
    steps = {id(table): _steps(following, table) for table in tables}
    steps_of_blocks = [steps[id(table)] for table in tables]
    position = 0
    for _ in range(units):
        for of_block in steps_of_blocks:
            position += of_block[position]
        if position > end:
            return -1
    return position


def _read_ac(
    following: NDArray[np.int32], scan: _Scan, begin: int, blocks: int, end: int
) -> tuple[int, NDArray[np.int64]]:
    """The codes of T.81, G.1.2.2: of coefficients, until a block's band is full, or of runs of ended blocks."""
    (table,), band = scan.tables, scan.last - scan.first + 1
    steps = _steps(following, table)
    visited, position = array("q"), 0
    while position < end:
        visited.append(position)
        position += steps[position]
    positions = np.frombuffer(visited, np.int64)
    codes = _bits_at(following, positions, _LONGEST_CODE)
    bits, run, size = table.bits[codes], table.symbols[codes].astype(np.int64) >> 4, table.symbols[codes] & 0x0F
    ends = (size == 0) & (run < _LONGEST_RUN)
    passed = np.where(ends, 0, run + 1)
    filled = np.cumsum(passed)
    filled -= np.maximum.accumulate(np.where(ends, filled, 0))  # since the last run of ended blocks
    lengths = (1 << run) + _bits_at(following, positions + bits - run, run)
    completed = np.cumsum(np.where(ends, lengths, filled % band == 0))
    last = int(np.searchsorted(completed, blocks))
    beyond_band = (filled - passed) % band + passed > band
    if last == len(completed) or completed[last] != blocks or beyond_band[: last + 1].any():
        return -1, _NONE
    coefficients = _COEFFICIENTS * (begin + completed - (filled % band == 0)) + scan.first + (filled - 1) % band
    return int(positions[last] + bits[last]), coefficients[: last + 1][size[: last + 1] > 0]


def _refine_ac(
    following: NDArray[np.int32], scan: _Scan, begin: int, blocks: int, end: int, known: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64]]:
    """The codes of T.81, G.1.2.3: each coefficient that is known and passed has one bit more; runs count the others."""
    symbols, bits = scan.tables[0].lists
    windows = following.tolist()
    block, stop = _COEFFICIENTS * begin, _COEFFICIENTS * (begin + blocks)  # the names of first coefficients
    known = known[slice(*np.searchsorted(known, (block, stop)))]
    place = known % _COEFFICIENTS
    refined = [*known[(place >= scan.first) & (place <= scan.last)].tolist(), stop + 2 * _COEFFICIENTS]
    found, at, index, position = [], block + scan.first, 0, 0
    while block < stop and position < end:
        code = windows[position >> 3] >> 8 - (position & 7) & 0xFFFF
        position += bits[code]
        run, size = symbols[code] >> 4, symbols[code] & 0x0F
        if size or run == _LONGEST_RUN:
            at += run
            while refined[index] <= at:
                index, at, position = index + 1, at + 1, position + 1
            if at > block + scan.last:
                return -1, _NONE
            if size:
                found.append(at)
            at += 1
            if at <= block + scan.last:
                continue
            block += _COEFFICIENTS
        else:
            start = position - run
            further = windows[start >> 3] >> 24 - run - (start & 7) & (1 << run) - 1
            block += _COEFFICIENTS * ((1 << run) + further)
            passed = bisect_left(refined, block, index)
            index, position = passed, position + passed - index
        at = block + scan.first
    return (position if block == stop else -1), np.array(found, np.int64)


def _steps(following: NDArray[np.int32], table: _Table) -> bytes:
    """For each bit: how many bits a code that begins there takes with what belongs to it."""
    steps = np.empty((len(following), 8), np.uint8)
    for bit in range(8):
        steps[:, bit] = table.bits[following >> 8 - bit & 0xFFFF]
    return steps.tobytes()


def _bits_at(
    following: NDArray[np.int32], positions: NDArray[np.int64], count: NDArray[np.int64] | int
) -> NDArray[np.int64]:
    """The next bits at each position, at most 17 of them."""
    bits: NDArray[np.int64] = following[positions >> 3] >> 24 - count - (positions & 7) & (1 << count) - 1
    return bits


def _scans(picture: bytes) -> Iterator[_Scan]:
    position, interval, frame = 2, 0, b""
    tables: dict[int, _Table] = {}
    while picture[position : position + 2] != END_OF_IMAGE:
        for marker, body, end in segments(picture, position):
            if marker == _HUFFMAN_TABLES:
                tables |= _read_tables(body)
            elif marker == _RESTART_INTERVAL:
                (interval,) = struct.unpack_from(">H", body)
            elif marker in START_OF_FRAME:
                frame = body
            elif marker == START_OF_SCAN:
                position = end_of_scan(picture, end)
                # Any number of such bytes may come before a marker (T.81, B.1.1.2).
                yield _read_scan(frame, body, tables, interval, picture[end:position].rstrip(b"\xff"))


def _read_scan(frame: bytes, body: bytes, tables: dict[int, _Table], interval: int, data: bytes) -> _Scan:
    """A scan from the segments of its frame (T.81, B.2.2) and its own (B.2.3)."""
    _, height, width, count = struct.unpack_from(">BHHB", frame)
    sampling = {frame[i]: (frame[i + 1] >> 4, frame[i + 1] & 0x0F) for i in range(6, 6 + 3 * count, 3)}
    widest, highest = (max(factors) for factors in zip(*sampling.values(), strict=True))
    first, last, bits = body[-3:]
    numbers = dict(zip(body[1:-3:2], body[2:-3:2], strict=True))
    if len(numbers) == 1:  # units of one block each, none of them beyond the picture (A.2.2)
        (across, down), blocks = sampling[body[1]], {body[1]: 1}
        units = _ceil(_ceil(width * across, widest), _BLOCK_PX) * _ceil(_ceil(height * down, highest), _BLOCK_PX)
    else:
        blocks = {component: across * down for component, (across, down) in sampling.items()}
        units = _ceil(width, _BLOCK_PX * widest) * _ceil(height, _BLOCK_PX * highest)
    of_blocks: list[_Table] = []
    for component, number in numbers.items():
        table = tables.get(_AC | number & 0x0F if first else number >> 4, _NO_TABLE)
        of_blocks += [table] * blocks[component]
    return _Scan(body[1], units, tuple(of_blocks), first, last, bits >> 4 > 0, interval, data)


def _read_tables(body: bytes) -> dict[int, _Table]:
    """The tables of a segment (T.81, B.2.4.2) by their identifiers."""
    tables = {}
    while body:
        counts = body[1 : 1 + _LONGEST_CODE]
        end = 1 + _LONGEST_CODE + sum(counts)
        tables[body[0]] = _table(body[0] >= _AC, counts, body[1 + _LONGEST_CODE : end])
        body = body[end:]
    return tables


def _table(ac: bool, counts: bytes, symbols: bytes) -> _Table:
    """Codes of equal length are consecutive numbers, in the order of the symbols (T.81, annex C)."""
    values = np.frombuffer(symbols, np.uint8)
    lengths = np.repeat(np.arange(1, _LONGEST_CODE + 1), list(counts))
    run, size = values >> 4, values & 0x0F
    bits = lengths + (np.where((size == 0) & (run < _LONGEST_RUN), run, size) if ac else size)
    # No code consists of ones alone: what is left is none, and is passed bit by bit.
    repeats = 1 << _LONGEST_CODE - lengths
    unused = (0, (1 << _LONGEST_CODE) - int(repeats.sum()))
    return _Table(
        symbols=np.pad(np.repeat(values, repeats), unused),
        bits=np.pad(np.repeat(bits.astype(np.uint8), repeats), unused, constant_values=1),
    )


# A scan that refines DC has none.
_NO_TABLE = _table(False, bytes(_LONGEST_CODE), b"")


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)
