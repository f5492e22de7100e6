"""A picture of a net as SVG, or through matplotlib as PNG or PDF."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from .labels import LINE, NAME_SIZE, TEXT_SIZE
from .placing import Picture, Placed, Point

FORMATS = ("svg", "png", "pdf")
COLOURS = {
    "vision": "#d8e8fb",
    "common": "#e6dcf8",
    "activation": "#fdf0cf",
    "normalization": "#dcf1e4",
    "data": "#e3e8eb",
    "utility": "#eef1f3",
    "loss": "#fde1e4",
    "recurrent": "#fbdff0",
    "integral": "#d5f0f2",
    "block": "#ffffff",
}
_OTHER, _WIRE, _EDGE, _LOSS, _INK, _SOFT = (
    *("#f6e3d3", "#8a98a1", "#b9c2c8", "#c8102e"),
    *("#1b2227", "#56626a"),
)
_ARROW = ' marker-end="url(#a)"'
_FIRST_LINE, _LARGEST, _MOST = 20, 30_000, 89_000_000
"""Baseline of the first line in a box; the pixels that a side and the whole of a PNG may have:
what is larger, Pillow and others take for an attack."""


def svg_text(picture: Picture, *, sideways: bool = False) -> str:
    """The picture as an SVG file."""
    size = f'width="{picture.width:g}" height="{picture.height:g}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {picture.width:g} {picture.height:g}" '
        f'font-family="system-ui, sans-serif" font-size="{TEXT_SIZE}">',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto">'
        f'<path d="M0 .6 8 4 0 7.4z" fill="{_WIRE}"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        *(_svg_frame(p) for p in picture.placed if p.is_open),
        *(
            f'<path d="{_svg_path(line.points, sideways)}" fill="none" stroke="{_WIRE}" '
            f'stroke-width="1.4"{"" if line.is_leaving else _ARROW}/>'
            for line in picture.lines
        ),
        *(_svg_head(p) for p in picture.placed if p.is_open),
        *(text for p in picture.placed if not p.is_open for text in _svg_box(p)),
    ]
    return "\n".join([*parts, "</svg>\n"])


def _svg_rect(p: Placed, fill: str, stroke: str, extra: str = "") -> str:
    place = f'x="{p.x:g}" y="{p.y:g}" width="{p.width:g}" height="{p.height:g}"'
    return f'<rect {place} rx="6" fill="{fill}" stroke="{stroke}"{extra}/>'


def _svg_frame(p: Placed) -> str:
    return _svg_rect(p, "#0b2a40", _WIRE, ' fill-opacity=".03" stroke-dasharray="5 4"')


def _svg_head(p: Placed) -> str:
    """The name of an open block, readable above a wire."""
    assert p.chart.label is not None
    at = f'x="{p.x + 10:g}" y="{p.y + 19:g}"'
    halo = 'stroke="#f4f6f7" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'
    name = escape(p.chart.label.lines[0])
    return f'<text {at} font-weight="600" fill="{_INK}" {halo}>{name}</text>'


def _svg_box(p: Placed) -> Iterator[str]:
    label = p.chart.label
    assert label is not None
    edge = _LOSS if label.loss else _EDGE
    yield _svg_rect(p, COLOURS.get(label.family, _OTHER), edge)
    for i, line in enumerate(_lines(p)):
        name = f'font-weight="600" font-size="{NAME_SIZE}" fill="{_INK}"'
        style = f'fill="{_SOFT}"' if i else name
        if label.loss and i == len(label.lines):
            style = f'font-weight="600" fill="{_LOSS}"'
        at = f'x="{p.x + p.width / 2:g}" y="{p.y + _FIRST_LINE + LINE * i:g}"'
        yield f'<text {at} text-anchor="middle" {style}>{escape(line)}</text>'


def _lines(p: Placed) -> Sequence[str]:
    """The lines of a box; where it counts in the loss, the last says so."""
    label = p.chart.label
    assert label is not None
    return (*label.lines[:-1], f"{label.lines[-1]} · {label.loss}") if label.loss else label.lines


def _svg_path(points: Sequence[Point], sideways: bool) -> str:
    (x, y), text = points[0], ""
    for start, stop in pairwise(points):
        first, second = _handles(start, stop, sideways)
        numbers = (*first, *second, *stop)
        straight = start[1 if sideways else 0] == stop[1 if sideways else 0]
        text += (
            f"L{stop[0]:g} {stop[1]:g}" if straight else "C" + " ".join(f"{n:g}" for n in numbers)
        )
    return f"M{x:g} {y:g}{text}"


def _handles(start: Point, stop: Point, sideways: bool) -> tuple[Point, Point]:
    """Where a curve aims at its ends: along the way the net runs."""
    if sideways:
        middle = (start[0] + stop[0]) / 2
        return (middle, start[1]), (middle, stop[1])
    middle = (start[1] + stop[1]) / 2
    return (start[0], middle), (stop[0], middle)


def drawn(picture: Picture, form: str, *, sideways: bool = False) -> bytes:
    """The picture as the bytes of a file.

    Args:
        picture: boxes and wires in pixels.
        form: one of `FORMATS`.
        sideways: it runs from left to right.
    """
    if form == "svg":
        return svg_text(picture, sideways=sideways).encode()
    return _by_matplotlib(picture, form, sideways)


def _by_matplotlib(picture: Picture, form: str, sideways: bool) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path

    figure = Figure(figsize=(picture.width / 72, picture.height / 72))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, picture.width), ylim=(picture.height, 0))
    axes.set_axis_off()
    round_corners = "round,pad=0,rounding_size=6"
    for p in sorted(picture.placed, key=lambda p: not p.is_open):
        label = p.chart.label
        assert label is not None
        fill = "#f4f6f7" if p.is_open else COLOURS.get(label.family, _OTHER)
        edge = _LOSS if label.loss and not p.is_open else _EDGE
        patch = FancyBboxPatch(
            *((p.x, p.y), p.width, p.height),
            boxstyle=round_corners,
            fc=fill,
            ec=edge,
            zorder=p.depth + (0 if p.is_open else 200),
            ls="--" if p.is_open else "-",
        )
        axes.add_patch(patch)
        _write_lines(axes, p)
    for line in picture.lines:
        points, codes = [line.points[0]], [Path.MOVETO]
        for start, stop in pairwise(line.points):
            points += [*_handles(start, stop, sideways), stop]
            codes += [Path.CURVE4] * 3
        path = Path(points, codes)
        arrow = FancyArrowPatch(
            path=path,
            arrowstyle="-" if line.is_leaving else "-|>",
            mutation_scale=8,
            color=_WIRE,
            shrinkA=0,
            shrinkB=0,
        )
        arrow.set_zorder(100)
        axes.add_patch(arrow)
    return _saved(figure, form, picture)


def _write_lines(axes: object, p: Placed) -> None:
    label = p.chart.label
    assert label is not None
    text = getattr(axes, "text")  # noqa: B009
    if p.is_open:
        text(
            p.x + 10,
            p.y + 19,
            label.lines[0],
            size=TEXT_SIZE,
            weight="bold",
            color=_INK,
            zorder=300,
        )
        return
    for i, line in enumerate(_lines(p)):
        weight, colour = ("bold", _INK) if i == 0 else ("normal", _SOFT)
        y = p.y + _FIRST_LINE + LINE * i
        text(
            *(p.x + p.width / 2, y, line),
            ha="center",
            size=TEXT_SIZE if i else NAME_SIZE,
            weight=weight,
            color=colour,
            zorder=300,
            parse_math=False,
        )


def _saved(figure: object, form: str, picture: Picture) -> bytes:
    """The figure as bytes, with as many dots per inch as fit."""
    buffer = io.BytesIO()
    longest, area = max(picture.width, picture.height), picture.width * picture.height
    dots = min(110, 72 * _LARGEST / longest, 72 * (_MOST / area) ** 0.5)
    figure.savefig(buffer, format=form, dpi=dots)  # type: ignore[attr-defined]
    return buffer.getvalue()
