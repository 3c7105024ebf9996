"""What ``winnow simulate`` runs and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from cli.console import Progress, emit, emit_json, table
from cli.transfer import writing
from sampler.errors import SamplerError
from winnow.errors import WinnowError
from worker.dataset import load_dataset
from worker.simulate import SimulateOptions, simulate


def checked(**options: Any) -> SimulateOptions:
    """The options, or wrong usage (exit code 2) where one has no such value."""
    try:
        return SimulateOptions(**options)
    except (WinnowError, SamplerError) as error:
        raise typer.BadParameter(str(error)) from error


def run(pool: Path, test: Path, options: SimulateOptions) -> dict[str, Any]:
    """Simulate, with a progress bar on stderr.

    Raises:
        WinnowError, SamplerError, ModelError: a file or an option cannot be used.
    """
    bar = Progress()
    try:
        return simulate(load_dataset(pool), load_dataset(test), options, bar.update)
    finally:
        bar.close()


def report(result: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Print the result, and write it to ``out`` where given."""
    if out is not None:
        with writing(out) as file:
            file.write(json.dumps(result).encode() + b"\n")
    if as_json:
        emit_json(result)
    else:
        emit(as_text(result))


def as_text(result: dict[str, Any]) -> str:
    """The mean curves, and the labels to each threshold."""
    arms = {result["strategy"]: result["seeds"]}
    if result["baseline"] is not None:
        arms[f"{result['baseline']['strategy']} (baseline)"] = result["baseline"]["seeds"]
    steps = arms[result["strategy"]][0]["labels"]
    rows = [
        [str(labels), *(f"{sum(seed['accuracy'][n] for seed in seeds) / len(seeds):.4f}" for seeds in arms.values())]
        for n, labels in enumerate(steps)
    ]
    lines = [
        f"{result['n_pool']} to choose from, {result['n_test']} to test on, {result['n_classes']} classes, "
        f"encoder {result['encoder']}; accuracy with all labels {result['full_pool_accuracy']:.4f}",
        table(["labels", *arms], rows),
    ]
    for share, reached in result["labels_to"].items():
        lines.append(_reached(float(share), reached))
    return "\n".join(lines)


def _reached(share: float, reached: dict[str, Any]) -> str:
    ours, baseline = reached["strategy"], reached["baseline"]
    parts = [f"labels to {reached['threshold']:.4f} ({share:.0%} of all labels'): {_labels(ours)}"]
    if baseline is not None or reached["saved"] is not None:
        parts.append(f"baseline {_labels(baseline)}")
    if reached["saved"] is not None:
        bound = "at least " if reached["censored"] else ""
        parts.append(f"saved {bound}{reached['saved']:.0%}")
    return ", ".join(parts)


def _labels(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.0f}"
