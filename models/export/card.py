"""The model card of a bundle, in the form of the Hugging Face hub: YAML front matter, then prose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.export.card_report import describe_report
from models.students import TRANSFORMERS

_PIPELINES = {"text": "text-classification", "image": "image-classification", "features": "tabular-classification"}
_MOST_CLASSES = 200


@dataclass(frozen=True)
class Latency:
    """Speed of a bundle where it was made, one thread, from raw items to labels.

    Attributes:
        p50_ms: Median time of one item alone.
        items_per_second: Of many at once.
        machine: The processor, in words.
    """

    p50_ms: float
    items_per_second: float
    machine: str


@dataclass(frozen=True)
class CardFacts:
    """What a card says that the student itself does not know. Unknown is None or empty, never guessed.

    Attributes:
        project: Name of the project.
        version: Of the student.
        label_counts: Labels that it was trained on, by source (human, import, …).
        labels_per_class: How many of them each class has; classes that are missing or 0 were never seen.
        accuracy: ``{value, low, high, labels}`` as measured on labels that were not trained on.
        energy: ``{watt_hours, cpu_seconds, grams_co2e}`` of the project's training so far.
        n_pool: Items of the pool.
        teacher: What it was distilled from, in words.
        metrics: Further figures of its round.
        recipe: The training recipe.
        seed: Of its round.
        license: What the owner says of the licence; part of the front matter.
        license_note: In words.
        limits: Further limits, one sentence each.
        report: What was measured of it, as `models.reports.build_report` found it.
        training: What it can be trained from again, as digests: `models.replay.Lesson.facts` and the project's id.
        pictures: PNGs of the report by name, which come into the bundle.
        created_at: RFC 3339.
    """

    project: str
    version: int = 1
    label_counts: Mapping[str, int] = field(default_factory=dict)
    labels_per_class: Mapping[str, int] | None = None
    accuracy: Mapping[str, Any] | None = None
    energy: Mapping[str, Any] | None = None
    n_pool: int | None = None
    teacher: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    license: str = "other"
    license_note: str = "The licence of the data decides what may be done with this model: ask the project's owner."
    limits: Sequence[str] = ()
    report: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    created_at: str | None = None

    def never_seen(self, class_names: Sequence[str]) -> list[str] | None:
        """The classes without a label in training; None where that is not known."""
        if self.labels_per_class is None:
            return None
        return [name for name in class_names if not self.labels_per_class.get(name)]


@dataclass(frozen=True)
class CardFigures:
    """What the export itself found out: parity, layers, sizes, speed."""

    task: str
    family: str
    format: str
    class_names: tuple[str, ...]
    parameters: int
    model_bytes: int
    parity: Mapping[str, Any]
    layers: Mapping[str, str]
    latency: Latency
    model_files: tuple[str, ...] = ("model.onnx",)
    library: str = "onnxruntime"


def write_card(facts: CardFacts, figures: CardFigures) -> str:
    """The text of README.md."""
    sections = [
        _front_matter(facts, figures),
        f"# {_line(facts.project)}, student {facts.version}",
        _summary(facts, figures),
        "## Use\n\n" + _use(figures),
        "## Data and labels\n\n" + _data(facts, figures),
        "## Accuracy\n\n" + _accuracy(facts, figures),
        "## Report\n\n" + describe_report(facts.report, facts.pictures, _line),
        "## Size and speed\n\n" + _speed(figures),
        "## Energy\n\n" + _energy(facts),
        "## Limits\n\n" + _limits(facts, figures),
        "## Licence\n\n" + _line(facts.license_note),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(facts: CardFacts, figures: CardFigures) -> str:
    # Each value is JSON, which is YAML too: nothing in a name can break out of it.
    lines = [
        "---",
        f"license: {_quote(facts.license)}",
        f"library_name: {figures.library}",
        f"pipeline_tag: {_PIPELINES[figures.task]}",
        f"tags: {_quote([figures.format.split('-')[0], 'winnow', 'distillation', 'active-learning', figures.family])}",
        'metrics: ["accuracy"]',
    ]
    if facts.accuracy:
        result = {
            "task": {"type": _PIPELINES[figures.task]},
            "dataset": {"name": facts.project, "type": "private"},
            "metrics": [{"type": "accuracy", "value": round(float(facts.accuracy["value"]), 4)}],
        }
        lines.append(f"model-index: {_quote([{'name': f'{facts.project} v{facts.version}', 'results': [result]}])}")
    return "\n".join([*lines, "---"])


def _summary(facts: CardFacts, figures: CardFigures) -> str:
    kind = {"text": "texts", "image": "images", "features": "feature vectors"}[figures.task]
    made = f", made {facts.created_at}" if facts.created_at else ""
    teacher = f" It was distilled from {_line(facts.teacher)}." if facts.teacher else ""
    return (
        f"Sorts {kind} into {len(figures.class_names)} classes. A student of the family `{figures.family}` in the "
        f"format `{figures.format}`{made}.{teacher}"
    )


def _use(figures: CardFigures) -> str:
    example = {"text": '"a text"', "image": "a.png", "features": '"[0.1, 0.2]"'}[figures.task]
    return (
        "```\npip install -r requirements.txt\n"
        f"python predict.py {example}\npython predict.py --file in.jsonl\n```\n\n"
        'or, in Python, `from predict import load; load(".").predict(items)`.'
    )


def _data(facts: CardFacts, figures: CardFigures) -> str:
    lines = []
    if facts.n_pool is not None:
        lines.append(f"- Pool: {facts.n_pool:,} items, over which the teacher's soft labels were taken.")
    total = sum(facts.label_counts.values())
    by_source = ", ".join(f"{count:,} {_line(source)}" for source, count in sorted(facts.label_counts.items()))
    lines.append(f"- Labels trained on: {total:,}" + (f" ({by_source})." if by_source else "."))
    never = facts.never_seen(figures.class_names)
    if never is None:
        lines.append("- Labels for each class: not recorded.")
    else:
        lines.append(f"- Classes never seen: {_names(never)}." if never else "- Classes never seen: none.")
    lines.append(f"- Classes: {_names(figures.class_names)}.")
    if facts.recipe:
        lines.append(f"- Recipe: `{json.dumps(dict(facts.recipe), ensure_ascii=False, sort_keys=True, default=str)}`")
    if facts.seed is not None:
        lines.append(f"- Seed: {facts.seed}.")
    return "\n".join(lines)


def _accuracy(facts: CardFacts, figures: CardFigures) -> str:
    parity = figures.parity
    if facts.accuracy:
        a = facts.accuracy
        text = (
            f"{float(a['value']):.1%}, 95 % interval {float(a['low']):.1%} to {float(a['high']):.1%}, measured on "
            f"{int(a['labels']):,} labels that were not trained on."
        )
    else:
        text = "Not yet measurable: too few labels were kept aside for measuring."
    if parity["items"]:
        text += (
            f"\n\nThis bundle gives the same label as the fp32 student on {parity['agreement']:.2%} of "
            f"{parity['items']:,} random items of the pool."
        )
    return text


def _speed(figures: CardFigures) -> str:
    speed = figures.latency
    kept = [name for name, form in figures.layers.items() if form == "fp32"]
    lines = [
        f"- Parameters: {figures.parameters:,}; {_files(figures.model_files)} {figures.model_bytes / 1e6:.2f} MB.",
        f"- One item: {speed.p50_ms:.3f} ms (median); many: {speed.items_per_second:,.0f} a second.",
        f"- Measured at export on one thread of {_line(speed.machine)}, from raw items to labels.",
    ]
    if figures.format == "onnx-int8":
        lines.append(f"- Layers kept in fp32: {_names(kept)}." if kept else "- Every layer is INT8.")
    return "\n".join(lines)


def _files(names: Sequence[str]) -> str:
    """The model's files and their verb."""
    return " and ".join(f"`{name}`" for name in names) + (" has" if len(names) == 1 else " have")


def _energy(facts: CardFacts) -> str:
    if not facts.energy:
        return "Not recorded."
    e = facts.energy
    parts = []
    if e.get("cpu_seconds") is not None:
        parts.append(f"{float(e['cpu_seconds']):,.1f} CPU-seconds")
    if e.get("watt_hours") is not None:
        parts.append(f"{float(e['watt_hours']):.3g} Wh (an estimate)")
    if e.get("grams_co2e") is not None:
        parts.append(f"{float(e['grams_co2e']):.3g} g CO2e (an estimate)")
    return ("Training so far: " + ", ".join(parts) + ".") if parts else "Not recorded."


def _limits(facts: CardFacts, figures: CardFigures) -> str:
    limits = [
        "It always answers with one of its classes, also for items unlike any of the pool.",
        "Confidence is its teacher's sureness, not a promise of accuracy.",
    ]
    if figures.task == "text" and figures.family not in TRANSFORMERS:
        limits.append("It knows words and pairs of neighbouring words; negation or irony over a distance escapes it.")
    if figures.task == "image":
        limits.append("Images are scaled to the size in preprocess.json; details smaller than that are lost.")
    never = facts.never_seen(figures.class_names)
    if never:
        limits.append(f"It has never seen a label of {_names(never)} and will hardly ever answer so.")
    return "\n".join(f"- {text}" for text in [*limits, *map(_line, facts.limits)])


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{_line(name)}`" for name in names[:_MOST_CLASSES])
    return shown + (f" and {len(names) - _MOST_CLASSES} more" if len(names) > _MOST_CLASSES else "")


def _line(text: str) -> str:
    """One line, with nothing that would end a code span or open markup."""
    return " ".join(text.split()).replace("`", "'").replace("<", "&lt;")


def _quote(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
