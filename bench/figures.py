"""Learning curves as SVG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Curves = Mapping[str, tuple[Sequence[int], NDArray[np.float64]]]
"""Labels and accuracies, (seeds, steps), by what the line is called."""

_STYLES = (("#0b6e4f", "-"), ("#7a7a7a", "-"), ("#7a7a7a", "--"), ("#c1440e", "-"), ("#2f5d8c", "-"), ("#a05195", "-"))


def learning_curves(path: Path, title: str, curves: Curves, levels: Mapping[str, float]) -> None:
    """Draw mean accuracies with the spread between the seeds, and dotted lines at ``levels``; the same bytes each time.

    Needs matplotlib, which the extra ``peers`` brings.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context({"svg.hashsalt": "winnow", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
        for (name, (labels, values)), (colour, line) in zip(curves.items(), _STYLES, strict=False):
            axes.plot(labels, values.mean(axis=0), line, color=colour, label=name, linewidth=1.4)
            if len(values) > 1:
                axes.fill_between(labels, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.12, linewidth=0)
        for name, level in levels.items():
            axes.axhline(level, color="black", linewidth=0.7, linestyle=":")
            axes.annotate(name, (1.0, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
        lowest = min(float(values.mean(axis=0)[_settled(values)]) for _, values in curves.values())
        axes.set(title=title, xlabel="labels", ylabel="accuracy on the test set", ylim=(lowest, None))
        axes.legend(loc="lower right", frameon=False, fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata: dict[str, Any] = {"Date": None, "Creator": None}
        figure.savefig(path, format="svg", metadata=metadata)
        pyplot.close(figure)


def _settled(values: NDArray[np.float64]) -> int:
    """The step from which on a curve is drawn whole: the first few would squeeze all others together."""
    return min(1, int(values.shape[1]) - 1)
