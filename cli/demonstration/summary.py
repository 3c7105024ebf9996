"""The demo's result, for a person."""

from __future__ import annotations

from typing import Any

from cli.console import table


def summary(result: dict[str, Any]) -> str:
    """What was done, the learning curve, the student beside its teacher, and where the bundle lies."""
    teacher, student, bundle = result["teacher"], result["student"], result["bundle"]
    measured = result["accuracy"]
    parts = [
        f"{result['data']}: {result['pool']} to choose from, {result['test']} to test on. "
        f"{result['labels']} labels in {len(result['rounds'])} rounds.",
        _measured(measured),
        "",
        f"Accuracy of the teacher on the test images, mean of {result['seeds']} runs and 95 % interval:",
        table(
            ["labels", "auto", "95 %", "random", "95 %"],
            [
                [
                    str(row["labels"]),
                    *(cell for arm in ("auto", "random") for cell in _with_interval(row[arm])),
                ]
                for row in result["curve"]
            ],
        ),
        _saved(result),
        "",
        table(
            ["", "accuracy", "size", "images/s"],
            [
                [name, f"{row['accuracy']:.3f}", _size(row["bytes"]), f"{row['images_per_second']:,.0f}"]
                for name, row in (("teacher (encoder and head)", teacher), ("student (the bundle)", student))
            ],
        ),
        f"The student is {teacher['bytes'] / student['bytes']:.1f} times smaller and "
        f"{student['images_per_second'] / teacher['images_per_second']:.1f} times as fast, on one thread.",
        "",
        f"predict.py of the bundle ran {bundle['note']}: {bundle['accuracy']:.3f} of the test images were right.",
        f"The bundle: {bundle['file']}",
        f"unpacked:   {bundle['folder']}",
        f"{result['seconds']:.0f} s in all.",
    ]
    return "\n".join(parts)


def _measured(measured: dict[str, Any] | None) -> str:
    if measured is None:
        return "The service has not measured an accuracy yet."
    return (
        f"The service measured {measured['value']:.3f} ({measured['low']:.3f} to {measured['high']:.3f}, "
        f"valid however often one looks) on {measured['labels']} labels."
    )


def _with_interval(value: dict[str, float]) -> tuple[str, str]:
    return f"{value['mean']:.3f}", f"({value['low']:.3f}–{value['high']:.3f})"


def _saved(result: dict[str, Any]) -> str:
    reached = result["labels_to"].get("0.95") or {}
    goal = f"{reached.get('threshold', 0):.3f} (95 % of what all labels give)"
    ours, baseline = reached.get("strategy"), reached.get("baseline")
    if ours is None:
        return f"{goal} was not reached within the budget."
    if baseline is None:
        return f"Labels to {goal}: auto {ours:.0f}; random sampling did not get there within the budget."
    return f"Labels to {goal}: auto {ours:.0f}, random sampling {baseline:.0f}."


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:.2f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"
