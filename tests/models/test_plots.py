"""Pictures of reports: PNGs in which the figures can be found again."""

import io

import numpy as np
import pytest
from PIL import Image

from models.errors import BadInput
from models.plots import draw_calibration, draw_confusion, draw_pareto, draw_report
from models.reports import build_pareto, build_report
from winnow.registry import PICTURES


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def test_the_diagonal_is_blue_and_errors_are_orange_as_dark_as_their_share():
    found = pixels(draw_confusion([[4, 0], [3, 1]], ["one", "two"]))

    def at(row, column):
        return found[60 + row * 56 + 4, 150 + column * 56 + 4].tolist()

    blue, orange = [31, 111, 235], [217, 115, 13]
    assert at(0, 0) == blue
    assert at(1, 0) == [round(255 - (255 - c) * 0.75) for c in orange]
    assert at(1, 1) == [round(255 - (255 - c) * 0.25) for c in blue]
    assert min(at(0, 1)) > 240


def test_a_hundred_classes_with_any_name_fit():
    names = ["我们", "", "a" * 300, "<b>", "naïve"] + [f"class {n}" for n in range(95)]
    found = pixels(draw_confusion(np.eye(100, dtype=int).tolist(), names))
    assert max(found.shape) < 1_000
    assert pixels(draw_confusion(np.eye(5, dtype=int).tolist(), names[:5])).shape[2] == 3


def test_a_bar_is_as_high_as_its_accuracy():
    part = {"low": 0.8, "high": 0.9, "labels": 7, "confidence": 0.85, "accuracy": 0.5}
    found = pixels(draw_calibration({"ece": 0.35, "bins": [part]}))
    column = found[:, 80 + int(610 * 0.89)]
    shaded = np.flatnonzero(np.abs(column - [177, 205, 248]).sum(1) < 12)
    assert shaded[0] == pytest.approx(470 - 420 * 0.5, abs=2)


def test_a_report_is_drawn_as_far_as_it_goes():
    y = np.arange(60) % 2
    P = np.where(np.eye(2)[y] > 0, 0.9, 0.1)
    point = {"version": 1, "accuracy": {"value": 1.0}, "p50_ms": 0.02, "bytes": None, "watt_hours": None}
    report = {**build_report(["a", "b"], y, P), "pareto": build_pareto([point])}
    assert list(draw_report(report)) == ["confusion", "pareto"]
    whole = {**build_report(["a", "b"], np.tile(y, 4), np.tile(P, (4, 1))), "pareto": build_pareto([point])}
    assert tuple(draw_report(whole)) == PICTURES
    assert draw_report(build_report(["a", "b"], [0], [[1.0, 0.0]])) == {}


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(BadInput, match="2 rows"):
        draw_confusion([[1, 2, 3]], ["a", "b"])
    with pytest.raises(BadInput, match="no student to draw"):
        draw_pareto([])
