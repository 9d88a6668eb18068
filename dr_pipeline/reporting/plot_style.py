"""The style of every plot: colours that colour-blind readers can distinguish, equal bytes for equal figures.

Matplotlib's object interface only; pyplot's global state would couple plots.
"""

import io
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette (jfly.uni-koeln.de/color), without yellow, which is too pale for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
QUIET = "#767676"
_PNG_DPI = 120
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "dr_pipeline",
    "svg.fonttype": "path",
}


def style() -> Any:
    """The context in which a figure must be drawn and saved."""
    return rc_context(_STYLE)


def blank(width_in: float, height_in: float) -> Figure:
    """An empty figure, in inches."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """PNG bytes without a software tag, which would change with matplotlib's version alone."""
    return _saved(figure, format="png", dpi=_PNG_DPI, metadata={"Software": None})


def svg(figure: Figure) -> bytes:
    """SVG bytes without a date; letters are paths, so that no font is needed."""
    return _saved(figure, format="svg", metadata={"Date": None, "Creator": None})


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, facecolor="white", **options)
    return buffer.getvalue()
