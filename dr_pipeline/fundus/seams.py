"""Finds damage that a JPEG decoder cannot see: the seam where a lost part of the scan was decoded as something else.

After a changed byte a Huffman decoder often falls into step again without any error. What follows is then the true
picture, but displaced by some blocks, or lighter, darker or of another colour, because the mean of each block is coded
as a difference (T.81, F.1.2.1). Either begins at one minimum coded unit (MCU) and goes on in reading order, so that it
shows as a step along a row of units. Two measures, each taken along every such row and below the next one up to the
column where the first ends:

- step: how one-sided the jumps across the row are, as a share of the compared places. Of 649 damages that libjpeg does
  not see and that change over 0.5 % of the disc by more than 8 levels 98 % are above the limit (other seeds than those
  of the benchmark).
- displacement: how much better the rows agree when one is displaced by some units, in the left and in the right half
  alike. Of displacements by a unit or two, planted in IDRiD at half size, 78 % are below the limit, n = 96; where rows
  show no vessel or edge, none is.

How near whole photographs come to both limits is in reports/benchmarks/damage.json.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2

_BLOCK_PX = 8
# As many places along a row are looked at, or more, if the picture is so wide: all would say little more.
_MIN_PLACES = 512
# Columns to which they are averaged: noise and vessels vanish, a step along the row stays.
_COLUMNS = 64
# A jump counts from so many grey levels; a change of 8 is the smallest that must be found.
_MIN_JUMP = 3.0
# Places with less light on either side show the surround, where a cut field or a frame begins.
_MIN_BRIGHT = 10
# A row of one colour, up to so many levels, over so much of its width: a frame, or the ground beside a cut field, whose
# edge is no seam.
_UNIFORM_LEVELS, _UNIFORM_SHARE = 8, 0.9
# Values at either end of the range may be clipped: if they show no step, that says nothing.
_MIN_LEVEL, _MAX_LEVEL = 3, 252
# Added to the number of compared places, so that a few alone are no evidence.
_PRIOR_PLACES = 8
_MAX_ONE_SIDED = 0.65
# Jumps that a row of units and the next need between them to exceed that limit.
_MIN_JUMPS = math.ceil(_MAX_ONE_SIDED * _PRIOR_PLACES / (1 - _MAX_ONE_SIDED))
# By how many units the rows are displaced against each other. More of them usually take more bits than can be missing
# or left over without a warning.
_DISPLACEMENTS = (1, 2)
_MIN_AGREEMENT = 0.92
# A difference counts up to so many levels (an edge must not outweigh the rest); this much noise is added to each.
_MAX_DIFFERENCE, _NOISE = 48, 0.5


def seam(pixels: NDArray[np.uint8], unit_width: int, unit_height: int) -> str:
    """Says which sign of damage a decoded JPEG shows.

    Args:
        pixels: (height, width, 3) RGB, as stored.
        unit_width: Of a minimum coded unit at the decoded size, px; at least 2.
        unit_height: Of a minimum coded unit at the decoded size, px; at least 2.

    Returns:
        A phrase; "" if there is none.
    """
    height, width, _ = pixels.shape
    if height < 2 * unit_height or width < max(_COLUMNS, 2 * (max(_DISPLACEMENTS) + 1) * unit_width):
        return ""
    if one_sidedness(pixels, unit_width, unit_height) > _MAX_ONE_SIDED:
        return "brightness or colour jumps along a row of its blocks"
    if agreement(pixels, unit_width, unit_height) < _MIN_AGREEMENT:
        return "its rows are displaced from one block on"
    return ""


def one_sidedness(pixels: NDArray[np.uint8], unit_width: int, unit_height: int) -> float:
    """The largest share of places along a row of units where the picture jumps in one direction, 0 to 1.

    Only rows that differ much from the one above are compared further; 0 if there is none.
    """
    # Chroma of half the height may be interpolated across the boundary: the rows next to it are left out.
    near = 2 if unit_height > _BLOCK_PX else 1
    places = pixels[:, :: _step(pixels.shape[1], unit_width)]
    tops = np.arange(unit_height, len(pixels) - 2 * near + 1, unit_height)  # where the rows of units begin
    above = _column_means(places[unit_height - near :: unit_height][: len(tops)])
    below = _column_means(places[unit_height + near - 1 :: unit_height][: len(tops)])
    begins = _candidates(below - above)
    if not begins.size:
        return 0.0
    # These rows and the next ones, and those on both sides of them.
    rows = np.unique(np.clip(np.add.outer(begins, (-1, 0, 1, 2)), 0, len(tops) - 1))
    above2, below2 = _column_means(places[tops[rows] - 2 * near]), _column_means(places[tops[rows] + 2 * near - 1])
    above, below = above[:, rows], below[:, rows]
    # The jump beyond what the slopes on both sides explain.
    jump = np.zeros((3, len(tops) + 2, above.shape[2]), np.float32)  # with a row before and behind
    jump[:, rows + 1] = below - above - (2 * near - 1) / (2 * near) * ((above - above2) + (below2 - below))
    # Nor what the next rows of units show as well: coarse quantisation turns a gradient into even stairs.
    jump = jump[:, rows + 1] - _common(jump[:, rows], jump[:, rows + 2])
    direction = np.sign(jump) * (np.abs(jump) > _MIN_JUMP)
    near_rows = above2, above, below, below2
    varied = ~np.logical_or.reduce([_is_uniform(row) for row in near_rows])[:, None]
    lit = np.logical_and.reduce([row.max(axis=0) > _MIN_BRIGHT for row in near_rows])
    unclipped = (np.minimum(above, below) >= _MIN_LEVEL) & (np.maximum(above, below) <= _MAX_LEVEL)
    # Once in the light alone, and once with the surround, which shows a change towards light best.
    in_light = varied & lit & (unclipped | (direction != 0))
    everywhere = np.broadcast_to(varied, direction.shape)
    return max(_largest_share(direction, compared, rows, begins) for compared in (in_light, everywhere))


def agreement(pixels: NDArray[np.uint8], unit_width: int, unit_height: int) -> float:
    """The smallest ratio, over rows and displacements, of the differences with and without displacement."""
    step = _step(pixels.shape[1], unit_width)
    below = np.ascontiguousarray(pixels[unit_height::unit_height, ::step, 1])
    above = np.ascontiguousarray(pixels[unit_height - 1 :: unit_height, ::step, 1][: len(below)])
    in_place = _halves(above, below, 0)
    smallest = 1.0
    for units in _DISPLACEMENTS:
        for shift in (units * unit_width // step, -units * unit_width // step):
            ratio = _halves(above, below, shift) / in_place
            smallest = min(smallest, float(ratio.max(axis=1).min()))
            if len(ratio) > 1:  # begins in the middle of a row of units: right half here, left half below the next
                smallest = min(smallest, float(np.maximum(ratio[:-1, 1], ratio[1:, 0]).min()))
    return smallest


def _step(width: int, unit_width: int) -> int:
    """How far apart the columns are that are looked at, px: a power of 2 that divides a unit's width."""
    return math.gcd(unit_width, 1 << max(width // _MIN_PLACES, 1).bit_length() - 1)


def _column_means(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(rows, width, 3) to (3, rows, columns): averages of neighbouring places, rounded."""
    num_rows, width, _ = rows.shape
    size = width // _COLUMNS
    columns = width // size
    planes = np.ascontiguousarray(rows[:, : columns * size].transpose(2, 0, 1)).reshape(3 * num_rows, -1)
    means = cv2.resize(planes, (columns, len(planes)), interpolation=cv2.INTER_AREA)
    return means.reshape(3, num_rows, columns).astype(np.float32)  # type: ignore[no-any-return]


def _candidates(differences: NDArray[np.float32]) -> NDArray[np.intp]:
    """The rows that show, with the next one, as many jumps in one direction as exceed the limit."""
    counts = np.stack([np.count_nonzero(sign * differences > _MIN_JUMP, axis=2) for sign in (1, -1)])
    counts[..., :-1] += counts[..., 1:]
    candidates: NDArray[np.intp] = np.flatnonzero(counts.max(axis=(0, 1)) >= _MIN_JUMPS)
    return candidates


def _common(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
    """What two jumps have in common: the smaller one if both go in one direction, else 0."""
    common: NDArray[np.float32] = np.clip(0, np.minimum(before, after), np.maximum(before, after))
    return common


def _is_uniform(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Per row of (3, rows, columns): whether nearly all of it has the colour that it begins with."""
    deviation = np.abs(rows - rows[..., :1]).max(axis=0)
    uniform: NDArray[np.bool_] = (deviation <= _UNIFORM_LEVELS).mean(axis=1) >= _UNIFORM_SHARE
    return uniform


def _largest_share(
    direction: NDArray[np.float32], compared: NDArray[np.bool_], rows: NDArray[np.intp], begins: NDArray[np.intp]
) -> float:
    """The largest share of compared places with jumps in one direction, over all places where a step may begin.

    Args:
        direction: (3, rows, columns): of the jump, -1 or 1; 0 if there is none.
        compared: (3, rows, columns): where they count.
        rows: (rows,): Which rows of units these are.
        begins: In which of them a step may begin.
    """
    # A step that begins in the last row has nothing below it.
    counts = np.zeros((2, 3, max(rows) + 2, direction.shape[2]), np.float32)
    counts[0][:, rows], counts[1][:, rows] = direction * compared, compared
    # From the column where it begins to the right, and on to the left of it, itself excluded, in the next row.
    right = counts[:, :, begins, ::-1].cumsum(axis=3)[..., ::-1]
    below = counts[:, :, begins + 1]
    left = below.cumsum(axis=3) - below
    return max(float((abs(net) / (places + _PRIOR_PLACES)).max()) for net, places in (right, right + left))


def _halves(above: NDArray[np.uint8], below: NDArray[np.uint8], shift: int) -> NDArray[np.float64]:
    """(rows, 2): the sum of differences between `above` and `below` displaced by `shift` px, left and right half."""
    width, half = above.shape[1], above.shape[1] // 2
    start, stop = max(shift, 0), width + min(shift, 0)
    difference = cv2.absdiff(above[:, start - shift : stop - shift], below[:, start:stop])
    difference = cv2.min(difference, _MAX_DIFFERENCE)
    middle = half - start
    # OpenCV sums bytes several times faster than numpy.
    sums = [cv2.reduce(half, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S) for half in np.split(difference, [middle], axis=1)]
    halves: NDArray[np.float64] = np.hstack(sums) + _NOISE * width
    return halves
