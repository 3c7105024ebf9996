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


_MODELS = ("teacher", "student")
_SAVINGS = {
    "total": "in all",
    "selection": "by selection",
    "semi_supervision": "by semi-supervision",
}


def as_text(result: dict[str, Any]) -> str:
    """Encoders that were chosen, each arm's mean curves, what it needs to get to each threshold, and what is saved."""
    lines = [
        f"{result['n_pool']} to choose from, {result['n_test']} to test on, {result['n_classes']} classes, "
        f"encoder {result['encoder']}; the teacher's accuracy with all labels is {result['full_pool_accuracy']:.4f}",
        *([chosen] if (chosen := _encoders(result)) else []),
        _curves(result),
        _needs(result),
    ]
    if any(result["savings"].values()):
        lines.append(_savings(result))
    if len(result["seeds"]) > 1:
        lines.append(
            f"In brackets: 95 % intervals over {len(result['seeds'])} seeds; an end is open where it was not reached."
        )
    return "\n\n".join(lines)


def _runs(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The runs of each arm."""
    runs = {"strategy": result["seeds"]}
    for baseline in (result["baseline"], result["baseline_same"]):
        if baseline is not None:
            runs[f"random_{baseline['features']}"] = baseline["seeds"]
    return runs


def _encoders(result: dict[str, Any]) -> str | None:
    """Which encoder the labels chose in how many runs of each arm, when, and by what margin; None without a choice."""
    rows = []
    for arm, seeds in _runs(result).items():
        met: dict[tuple[int, str], list[dict[str, Any]]] = {}
        for seed in seeds:
            for choice in seed["encoder_choices"] or ():
                met.setdefault((choice["labels"], choice["present"]), []).append(choice)
        for (labels, present), choices in sorted(met.items()):
            [other] = choices[0]["losses"].keys() - {present}
            taken = sum(choice["encoder"] == other for choice in choices)
            gain, needed = (sum(choice[key] for choice in choices) / len(choices) for key in ("gain", "needed"))
            said = f"{other} instead of {present} in {taken} of {len(choices)}"
            rows.append([_name(result, arm), str(labels), said, f"{gain:+.3f}", f"{needed:.3f}"])
    return table(["", "labels", "encoder chosen", "log-loss lower by", "needed"], rows) if rows else None


def _curves(result: dict[str, Any]) -> str:
    curves = {
        f"{_name(result, arm)}, {model}": [seed[key] for seed in seeds]
        for arm, seeds in _runs(result).items()
        for model, key in zip(_MODELS, ("accuracy", "student_accuracy"), strict=True)
        if seeds[0][key] is not None
    }
    rows = [
        [str(labels), *(f"{sum(curve[n] for curve in seeds) / len(seeds):.4f}" for seeds in curves.values())]
        for n, labels in enumerate(result["seeds"][0]["labels"])
    ]
    return table(["labels", *curves], rows)


def _needs(result: dict[str, Any]) -> str:
    shares = result["labels_to"]
    last = result["seeds"][0]["labels"][-1]
    rows = []
    for arm, needs in result["arms"].items():
        for model in _MODELS:
            if (own := needs[model]) is not None:
                cells = [_labels(own["labels_to"][share], last) for share in shares]
                area = own["area"]
                mean = f"{area['value']:.4f}{_between(area, '{:.4f}')}"
                rows.append([f"{_name(result, arm)}, {model}", *cells, mean])
    header = [f"labels to {float(share):.0%} ({reached['threshold']:.4f})" for share, reached in shares.items()]
    return table(["", *header, "mean over steps"], rows)


def _savings(result: dict[str, Any]) -> str:
    shares = result["labels_to"]
    rows = []
    for name, said in _SAVINGS.items():
        for model in _MODELS:
            saving = result["savings"][name] and result["savings"][name][model]
            if saving:
                area = saving["area"]
                gain = f"{area['gain']:+.4f}{_between(area, '{:+.4f}')}"
                rows.append([f"saved {said}, {model}", *(_share(saving[share]) for share in shares), gain])
    return table(["", *(f"to {float(share):.0%}" for share in shares), "mean over steps"], rows)


def _name(result: dict[str, Any], arm: str) -> str:
    return {"random_raw": "random", "random_same": "random with extras"}.get(arm, str(result["strategy"]))


def _labels(needed: dict[str, Any], last: int) -> str:
    value = f"> {last}" if needed["labels"] is None else f"{needed['labels']:.0f}"
    return value + _between(needed, "{:.0f}")


def _share(saved: dict[str, Any]) -> str:
    if saved["bound"] == "unknown":
        return "?"
    sign = {"at_least": "> ", "at_most": "< "}.get(saved["bound"], "")
    return f"{sign}{saved['saved']:.0%}{_between(saved, '{:.0%}')}"


def _between(figure: dict[str, Any], form: str) -> str:
    low, high = figure["low"], figure["high"]
    if low is None and high is None:
        return ""
    return f" ({'' if low is None else form.format(low)} … {'' if high is None else form.format(high)})"
