"""compress: a smaller and faster encoder for one's own texts, with what each step gave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Json

DEFAULT = "vocabulary,prune,int8"
_LABELLED = "JSONL with text and label"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("compress", short_help="A smaller, faster encoder for your texts.")(compress)


def compress(
    texts: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The pool: JSONL with text, no labels needed.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help=f"To measure accuracy with: {_LABELLED}.")
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help=f"{_LABELLED}. [default: a third of --labels]"),
    ] = None,
    steps: Annotated[
        str | None, typer.Option(help=f"What to try, in this order. [default: {DEFAULT}; int8 without --texts]")
    ] = None,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for the encoder that is left.")] = None,
    keep: Annotated[float, typer.Option(min=0, max=1, help="Share of the accuracy that must be left.")] = 0.98,
    most: Annotated[int, typer.Option(min=50, help="Texts that are learned from, drawn at random.")] = 2_000,
    epochs: Annotated[float, typer.Option(min=0, help="Passes of recovery after each pruning; 0 for none.")] = 1.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads for learning.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    json: Json = False,
) -> None:
    """Compress MiniLM step by step; a step stays where it pays on a CPU and costs next to no accuracy.

    Steps: vocabulary=8000, layers=4, heads=6, ffn=768, prune=0.5, lowrank=128, magnitude=0.5, cluster=16, recover=1,
    then int8, int8-static, qat=1.
    """
    import numpy as np

    from bench.compression import Compression, Labelled
    from cli.compression import read_texts
    from cli.console import Progress, emit, emit_json
    from models.compression.folder import save_compact
    from models.compression.material import EncoderState
    from models.compression.minilm import load_minilm
    from models.compression.steps import STEPS, parse_steps
    from models.compression.structure import Shape
    from models.errors import BadInput
    from worker.dataset import load_dataset

    try:
        wanted = parse_steps(steps if steps is not None else DEFAULT if texts else "int8")
    except BadInput as error:
        raise typer.BadParameter(error.detail, param_hint="--steps") from None
    blind = next((str(step) for step in wanted if STEPS[step.name].needs_texts), None)
    if texts is None and blind is not None:
        raise typer.BadParameter(f"the step {blind} looks at texts of the pool: give --texts", param_hint="--steps")
    if test is not None and labels is None:
        raise typer.BadParameter("a test file needs labels to train on: give --labels", param_hint="--test")
    rng = np.random.default_rng(seed)
    pool = read_texts(texts) if texts else []
    labelled = None
    if labels is not None:
        labelled = Labelled.of(load_dataset(labels), load_dataset(test) if test else None, rng)
    weights, tokenizer = load_minilm()
    progress = Progress()
    run = Compression(
        EncoderState(weights, tokenizer),
        [pool[row] for row in rng.permutation(len(pool))[:most]],
        labelled,
        least_kept=keep,
        say=lambda what, done: progress.update(done, what),
        rng=rng,
        epochs=epochs,
        threads=threads,
    )
    compact, state, report = run.run(wanted)
    progress.close()
    report |= {"seed": seed, "digest": compact.digest, "out": str(out) if out else None}
    if out is not None:
        shape = Shape.of(state.weights).to_dict()
        recoveries = [each.to_dict() for each in state.reports]
        save_compact(out, compact, source="all-MiniLM-L6-v2", shape=shape, recoveries=recoveries, report=report)
    if json:
        emit_json(report)
    else:
        emit(_as_text(report))


def _as_text(report: dict[str, Any]) -> str:
    from cli.console import table

    settings = list(report["steps"][0]["texts_per_second"])
    header = ["step", "kept", "MB", "zipped", "memory", *(f"{name.replace(' thread', 't')}" for name in settings)]
    rows = [
        [
            row["step"],
            {None: "", True: "yes", False: "no"}[row["kept"]],
            _cell(row["mb"]),
            _cell(row["zipped_mb"]),
            _cell(row["memory_mb"]),
            *(f"{row['texts_per_second'][name]:,.0f} ({row['times_torch'][name]:.1f} ×)" for name in settings),
            _cell(row["accuracy"]),
            _cell(row["agreement"]),
            _cell(row["cosine"]),
        ]
        for row in report["steps"]
    ]
    lines = [table([*header, "accuracy", "agreement", "cosine"], rows), ""]
    lines += [f"{row['step']}: {row['why']}" for row in report["steps"] if row["why"]]
    where = f" It lies in {report['out']}." if report["out"] else " Nothing was written: give --out for that."
    return "\n".join([*lines, "", f"Kept: {', '.join(report['kept']) or 'nothing, no step paid'}.{where}"])


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"
