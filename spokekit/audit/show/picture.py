"""What all pictures of an audit share: two themes, a picture that shows itself in either, and drawing tools."""

from __future__ import annotations

import base64
import io
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spokekit._foreign import markup, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST = 34
"""Characters of a name that a picture shows."""


@dataclass(frozen=True)
class Palette:
    """Colours of one theme. The series differ in lightness, for readers who see no hue; `ramp` goes from 0 to 100."""

    ink: str
    paper: str
    grid: str
    soft: str
    series: tuple[str, ...]
    ramp: tuple[str, str, str]


LIGHT = Palette(
    "#1c1f24",
    "#ffffff",
    "#d5d9df",
    "#5b636e",
    ("#1f5fa8", "#d98a1f", "#4f9d69", "#8a4b9a", "#333a44", "#c23b4b"),
    ("#f3f6fa", "#4d8fd0", "#0b2a55"),
)
DARK = Palette(
    "#e6e8eb",
    "#16181c",
    "#3a3f47",
    "#a3abb6",
    ("#6aaef0", "#f2b35c", "#86d0a0", "#cf9be0", "#d7dbe0", "#f58a96"),
    ("#20242a", "#2f74bb", "#dcebfb"),
)


@dataclass(frozen=True)
class Picture:
    """A picture with a title and an alternative text; shows itself in a notebook in the theme that is on.

    ``figure(dark=...)`` gives the matplotlib figure, ``png(dark=...)`` the bytes.
    """

    title: str
    alt: str
    draw: Callable[[Palette], Figure]

    def figure(self, *, dark: bool = False) -> Figure:
        """Return the figure in the light or the dark theme."""
        return self.draw(DARK if dark else LIGHT)

    def png(self, *, dark: bool = False, dpi: int = 110) -> bytes:
        """Return the picture as PNG."""
        sink = io.BytesIO()
        with warnings.catch_warnings():
            # A name in a script that the font lacks is drawn as boxes; the alternative text still has it.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure = self.figure(dark=dark)
            figure.savefig(sink, format="png", dpi=dpi, facecolor=figure.get_facecolor())
        return sink.getvalue()

    def urls(self) -> tuple[str, str]:
        """Return the addresses of the picture in both themes, light and dark, that hold the picture itself."""
        light, dark = (base64.b64encode(self.png(dark=dark)).decode() for dark in (False, True))
        return f"data:image/png;base64,{light}", f"data:image/png;base64,{dark}"

    def __repr__(self) -> str:
        return f"Picture({self.title!r})"

    def _repr_html_(self) -> str:
        light, dark = self.urls()
        alt = markup(self.alt)
        name = markup("-".join("".join(c if c.isalnum() else " " for c in self.title).split())[:60] or "picture")
        # JupyterLab says how an image in an output is displayed, and says it more strongly than a class alone.
        return (
            "<style>.spokekit-dark{display:none!important}"
            "body[data-jp-theme-light='false'] .spokekit-dark{display:inline!important}"
            "body[data-jp-theme-light='false'] .spokekit-light{display:none!important}</style>"
            f"<img class='spokekit-light' style='max-width:100%' alt='{alt}' src='{light}'>"
            f"<img class='spokekit-dark' style='max-width:100%' alt='{alt}' src='{dark}'>"
            f"<p><a download='{name}.png' href='{light}'>Download the picture</a></p>"
        )


def short(name: str, longest: int = LONGEST) -> str:
    """Return `name` as a label: one line, what is unseen written out, no formula for matplotlib."""
    plain = shown(re.sub(r"[ \t\r\n]+", " ", unicodedata.normalize("NFC", name)).strip())
    if len(plain) > longest:
        plain = plain[: longest - 1].rstrip() + "…"
    return plain.replace("$", r"\$")


def new_figure(
    theme: Palette, width: float, height: float, title: str, note: str, *, rows: Any = None, wrap: int = 92
) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor=theme.paper)
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(len(rows), 1, height_ratios=rows) if rows else figure.subplots()
    figure.suptitle(
        "\n".join(textwrap.wrap(title, wrap)), x=0.02, ha="left", fontsize=12, fontweight="bold", color=theme.ink
    )
    if note:
        figure.supxlabel(
            "\n".join(textwrap.wrap(note.replace("$", r"\$"), wrap)), x=0.02, ha="left", fontsize=9, color=theme.soft
        )
    for one in axes if rows else [axes]:
        one.set_facecolor(theme.paper)
        one.tick_params(colors=theme.ink, labelsize=9)
        one.xaxis.label.set_color(theme.ink)
        one.yaxis.label.set_color(theme.ink)
        one.set_axisbelow(True)
        for name, side in one.spines.items():
            side.set_color(theme.grid)
            side.set_visible(name in ("left", "bottom"))
    return figure, axes


def draw_bars(
    axes: Axes, theme: Palette, names: list[str], parts: tuple[tuple[str, np.ndarray, int, str], ...]
) -> None:
    places = np.arange(len(names))
    left = np.zeros(len(names))
    for label, values, color, hatch in parts:
        if color and not values.sum():
            continue
        axes.barh(
            places,
            values,
            left=left,
            height=0.7,
            color=theme.series[color],
            hatch=hatch,
            label=label,
            edgecolor=theme.paper,
            linewidth=0.4,
        )
        left = left + values
    for place, value in zip(places, left, strict=True):
        axes.text(float(value), float(place), f" {int(value):,}", va="center", fontsize=8, color=theme.ink)
    axes.set_yticks(places, names)
    axes.set_ylim(max(len(names), 4) - 0.4, -0.6)
    axes.grid(visible=True, axis="x", color=theme.grid, lw=0.6)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.1)
    thousands(axes.xaxis)
    add_legend(axes, theme)


def bars(
    title: str, alt: str, note: str, label: str, names: list[str], parts: tuple[tuple[str, np.ndarray, int, str], ...]
) -> Picture:
    """Return a picture of one bar for each of `names`, see `draw_bars`; `label` says what its length is."""

    def draw(theme: Palette) -> Figure:
        figure, axes = new_figure(theme, 8.4, 1.5 + 0.27 * max(4, len(names)), title, note)
        draw_bars(axes, theme, names, parts)
        axes.set_xlabel(label)
        return figure

    return Picture(title, alt, draw)


def thousands(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def add_legend(axes: Axes, theme: Palette) -> None:
    handles, _ = axes.get_legend_handles_labels()
    if len(handles) > 1:
        # Above the bars: the longest one may be the last one, too.
        axes.legend(
            frameon=False,
            labelcolor=theme.ink,
            fontsize=9,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=len(handles),
            borderaxespad=0.2,
        )


def nothing_to_draw(title: str) -> Picture:
    words = "There are no memberships to draw."

    def draw(theme: Palette) -> Figure:
        figure, axes = new_figure(theme, 6.0, 1.6, title, words)
        axes.set_axis_off()
        return figure

    return Picture(title, f"An empty picture. {words}", draw)
