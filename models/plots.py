"""Reports as pictures: PNG by Pillow, which is here anyway and draws one in some hundredths of a second.

Matplotlib would take half a second to load in each worker and is no dependency of the service. Names of classes are
drawn as far as the built-in font has their letters; the others bear their number, and the figures are in the JSON.
"""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInput

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PICTURES = ("confusion", "calibration", "pareto")
_INK, _PALE, _GRID, _BLUE, _ORANGE = "#1f2328", "#6e7781", "#e4e7eb", "#1f6feb", "#d9730d"
_MOST_NAMED = 24  # classes that bear names beside the matrix; more would run into each other
_LONGEST_NAME = 14
_SIZE = (720, 540)
_BOX = (80, 50, 690, 470)  # where the axes of a plot lie: left, top, right, bottom


def draw_report(report: Mapping[str, Any]) -> dict[str, bytes]:
    """PNGs of all that a report holds, by name (`PICTURES`); what was not measured is not drawn."""
    made = {}
    if report.get("confusion"):
        made["confusion"] = draw_confusion(report["confusion"], report["classes"])
    if report.get("calibration"):
        made["calibration"] = draw_calibration(report["calibration"])
    if (report.get("pareto") or {}).get("points"):
        made["pareto"] = draw_pareto(report["pareto"]["points"])
    return made


def draw_confusion(table: Sequence[Sequence[int]], names: Sequence[str]) -> bytes:
    """A PNG of a confusion matrix, shaded by the share of each true class; counts where there is room for them.

    Raises:
        BadInput: The matrix is not as wide and as high as there are names.
    """
    n = len(names)
    if n == 0 or len(table) != n or any(len(row) != n for row in table):
        raise BadInput(f"A confusion matrix of {n} classes has {n} rows of {n} counts.")
    cell = max(5, min(56, 560 // n))
    left, top = 150, 60
    size = max(420, left + cell * n + 40), top + cell * n + 60
    canvas = _Canvas(size, "Confusion: true classes (rows) by predicted")
    counts = np.asarray(table, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    canvas.paste(_cells(shares, cell), (left, top))
    if cell >= 26:
        for row, column in np.argwhere(counts > 0).tolist():
            middle = (left + (column + 0.5) * cell, top + (row + 0.5) * cell)
            canvas.text(middle, str(table[row][column]), "mm", ink="white" if shares[row, column] > 0.55 else _INK)
    if n <= _MOST_NAMED:
        for index, name in enumerate(names):
            along = index * cell + cell / 2
            canvas.text((left - 8, top + along), _name(name, index), "rm")
            canvas.text((left + along, top + cell * n + 8), str(index + 1), "mt", ink=_PALE)
            canvas.text((left - 140, top + along), str(index + 1), "lm", ink=_PALE)
    else:
        canvas.text((left, top + cell * n + 8), f"{n} classes, in the order of labels.json", "lt", ink=_PALE)
    return canvas.png()


def draw_calibration(calibration: Mapping[str, Any]) -> bytes:
    """A PNG of a reliability diagram: accuracy over confidence in each bin, with the number of labels in it."""
    canvas = _Canvas(_SIZE, f"Calibration: expected calibration error {calibration['ece']:.3f}")
    to = canvas.axes("confidence", "accuracy", [k / 5 for k in range(6)], [k / 5 for k in range(6)])
    for part in calibration["bins"]:
        left, bottom = to(part["low"], 0)
        right, top = to(part["high"], part["accuracy"])
        canvas.pen.rectangle((left + 1, top, max(left + 2, right - 1), bottom), fill=_shade(_BLUE, 0.35))
        x, y = to(part["confidence"], part["accuracy"])
        canvas.pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_BLUE)
        canvas.text(((left + right) / 2, bottom - 4), f"{part['labels']}", "mb", ink=_INK)
    canvas.pen.line([to(0, 0), to(1, 1)], fill=_PALE, width=1)
    return canvas.png()


def draw_pareto(points: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG of students: accuracy over the median latency of one item, the size as area, training energy as shade.

    Raises:
        BadInput: There is no point.
    """
    if not points:
        raise BadInput("There is no student to draw: none has both an accuracy and a latency.")
    canvas = _Canvas(_SIZE, "Students: accuracy by latency; area: size; darker: more energy to train; ring: front")
    speeds = [max(float(point["p50_ms"]), 1e-6) for point in points]
    values = [float(point["accuracy"]["value"]) for point in points]
    low, high = math.log10(min(speeds)) - 0.15, math.log10(max(speeds)) + 0.15
    bottom, top = max(0.0, min(values) - 0.05), min(1.0, max(values) + 0.05)
    to = canvas.axes(
        "milliseconds for one item (median, logarithmic)",
        "accuracy",
        [low + (high - low) * k / 4 for k in range(5)],
        [bottom + (top - bottom) * k / 5 for k in range(6)],
        lambda value: f"{10**value:.3g}",
    )
    largest = max(float(point.get("bytes") or 0) for point in points) or 1.0
    dearest = max(float(point.get("watt_hours") or 0) for point in points) or 1.0
    for point, speed, value in sorted(zip(points, speeds, values, strict=True), key=lambda entry: entry[0]["on_front"]):
        x, y = to(math.log10(speed), value)
        radius = 5 + 11 * math.sqrt(float(point.get("bytes") or 0) / largest)
        shade = _shade(_BLUE, 0.25 + 0.75 * float(point.get("watt_hours") or 0) / dearest)
        outline = _ORANGE if point["on_front"] else "white"
        canvas.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shade, outline=outline, width=2)
        if point["on_front"] or len(points) <= _MOST_NAMED:
            canvas.text((x + radius + 3, y), f"v{point['version']}", "lm")
    return canvas.png()


class _Canvas:
    """White, with a title."""

    def __init__(self, size: tuple[int, int], title: str):
        from PIL import Image, ImageDraw, ImageFont

        self._image = Image.new("RGB", size, "white")
        self.pen: ImageDraw.ImageDraw = ImageDraw.Draw(self._image)
        self._font: Font = ImageFont.load_default(13)
        self.text((16, 14), title, "lt", font=ImageFont.load_default(15))

    def text(
        self, at: tuple[float, float], words: str, anchor: str, *, ink: str = _INK, font: Font | None = None
    ) -> None:
        """Write at a point; ``anchor`` as Pillow has it."""
        self.pen.text(at, words, fill=ink, font=font or self._font, anchor=anchor)

    def axes(
        self,
        across: str,
        up: str,
        xs: Sequence[float],
        ys: Sequence[float],
        shown: Any = lambda value: f"{value:.2g}",
    ) -> Any:
        """Draw axes with these ticks, evenly apart; gives what turns values into a point."""
        left, top, right, bottom = _BOX

        def to(x: float, y: float) -> tuple[float, float]:
            return (
                left + (right - left) * (x - xs[0]) / ((xs[-1] - xs[0]) or 1),
                bottom - (bottom - top) * (y - ys[0]) / ((ys[-1] - ys[0]) or 1),
            )

        for x in xs:
            self.pen.line([to(x, ys[0]), to(x, ys[-1])], fill=_GRID)
            self.text((to(x, 0)[0], bottom + 8), shown(x), "mt", ink=_PALE)
        for y in ys:
            self.pen.line([to(xs[0], y), to(xs[-1], y)], fill=_GRID)
            self.text((left - 8, to(0, y)[1]), f"{y:.2f}", "rm", ink=_PALE)
        self.text(((left + right) / 2, bottom + 34), across, "mt")
        self.text((left - 8, top - 10), up, "rb")
        return to

    def paste(self, pixels: NDArray[np.uint8], at: tuple[int, int]) -> None:
        """Lay pixels (h, w, 3) on it, their upper left corner at a point."""
        from PIL import Image

        self._image.paste(Image.fromarray(pixels), at)

    def png(self) -> bytes:
        """The picture so far."""
        out = io.BytesIO()
        self._image.save(out, "PNG", compress_level=3)  # half the time of the highest level, a tenth more bytes
        return out.getvalue()


def _cells(shares: NDArray[np.float64], cell: int) -> NDArray[np.uint8]:
    """A square of colour for each share, (n · cell, n · cell, 3): right ones blue, errors orange, white between."""
    n = len(shares)
    dark = np.where(np.eye(n, dtype=bool)[..., None], _shade(_BLUE, 1.0), _shade(_ORANGE, 1.0))
    mixed = 255 - (255 - dark) * np.clip(shares, 0.04, 1.0)[..., None]
    pixels = np.repeat(np.repeat(np.rint(mixed).astype(np.uint8), cell, 0), cell, 1)
    pixels[cell - 1 :: cell] = pixels[:, cell - 1 :: cell] = 255
    return pixels


def _shade(colour: str, share: float) -> tuple[int, int, int]:
    """A colour mixed with white."""
    share = min(max(share, 0.04), 1.0)
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(255 - (255 - part) * share) for part in parts]
    return mixed[0], mixed[1], mixed[2]


def _name(name: str, index: int) -> str:
    """A name as the built-in font can write it (no accents), cut where it is long; else the number of the class."""
    whole = " ".join(unicodedata.normalize("NFKD", name).split())
    plain = "".join(letter for letter in whole if not unicodedata.combining(letter))
    if not plain or not plain.isascii() or not plain.isprintable():
        return f"class {index + 1}"
    return plain if len(plain) <= _LONGEST_NAME else plain[: _LONGEST_NAME - 1] + "…"
