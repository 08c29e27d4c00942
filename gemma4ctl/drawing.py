"""What drawings share: palette, fonts, axes of round numbers, and writing them to a file.

The colours are those of Okabe and Ito, which people with any kind of colour vision tell apart;
series differ in marker and line too. Needs matplotlib (extra ``plot``); no display is used.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gemma4ctl.errors import UsageError
from gemma4ctl.extras import require
from gemma4ctl.rendering.files import write_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")
INK, FAINT = "#1f2328", "#656d76"
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
ORANGE, SKY = "#e69f00", "#56b4e9"
SERIES = (
    (BLUE, "o", "-"),
    (VERMILION, "s", "--"),
    (GREEN, "^", "-."),
    (PURPLE, "D", ":"),
    (ORANGE, "v", (0, (5, 1))),
    (SKY, "P", (0, (3, 1, 1, 1))),
)
_STYLE = {
    "font.family": "DejaVu Sans",  # matplotlib brings it
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.labelsize": 11,
    "svg.hashsalt": "gemma4ctl",  # the same drawing twice is the same file
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # names may hold dollars
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def style() -> Any:
    """A context in which matplotlib draws in our style.

    Raises:
        UsageError: matplotlib is not installed.
    """
    matplotlib: Any = require("matplotlib", "plot", "drawing")
    return matplotlib.rc_context(_STYLE)


def figure(width: float, height: float) -> Figure:
    """An empty drawing of ``width`` x ``height`` inches, made without pyplot."""
    made: Figure = require("matplotlib.figure", "plot", "drawing").Figure(
        figsize=(width, height), layout="constrained"
    )
    return made


def ticks(axes: Axes, axis: Literal["x", "y"], values: list[float], labels: list[str]) -> None:
    """Put ``labels`` at ``values`` of a logarithmic axis, and nothing between them."""
    ticker = require("matplotlib.ticker", "plot", "drawing")
    getattr(axes, f"set_{axis}ticks")(values, labels)
    getattr(axes, f"{axis}axis").set_minor_locator(ticker.NullLocator())


def check_name(path: Path) -> None:
    """Refuse a file name that is neither SVG nor PNG.

    Raises:
        UsageError: it is neither.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{path} is no drawing that can be made",
            needed="a file name that ends in " + " or ".join(SUFFIXES),
            code="plot-format",
        )


def save(drawing: Figure, path: Path, *, marker: str, force: bool = False) -> None:
    """Write ``drawing`` into ``path`` in the format of its suffix; ``marker`` says who made it.

    Raises:
        UsageError: the suffix is no drawing's, somebody else's file is there and ``force`` is not
            given, or it cannot be written.
    """
    check_name(path)
    kind = path.suffix.lower()
    image = io.BytesIO()
    metadata = {"Creator": marker, "Date": None} if kind == ".svg" else {"Software": marker}
    drawing.savefig(image, format=kind[1:], dpi=150, metadata=metadata)
    write_new(path, image.getvalue(), marker=marker, force=force)
