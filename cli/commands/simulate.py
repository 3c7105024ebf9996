"""simulate: the service's round against a file whose labels are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Json

Encoder = Literal["auto", "minilm", "hashed", "none"]
_FILE = "JSONL with text and label, or .npz with X and y."


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("simulate", short_help="Labels needed on a file whose labels are known.")(simulate)


def simulate(
    pool: Annotated[Path, typer.Option(exists=True, dir_okay=False, help=f"What may be asked for: {_FILE}")],
    test: Annotated[Path, typer.Option(exists=True, dir_okay=False, help=f"What is measured on: {_FILE}")],
    strategy: Annotated[str, typer.Option(help="The query strategy.")] = "auto",
    initial: Annotated[int | None, typer.Option(min=1, help="Labels of the cold start. [default: --batch]")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Labels in a round.")] = 20,
    budget: Annotated[int, typer.Option(min=1, help="Labels in all.")] = 400,
    seeds: Annotated[int, typer.Option(min=1, help="How many runs, with seeds 0, 1, ….")] = 5,
    baseline: Annotated[Literal["random", "none"], typer.Option(help="What to compare with.")] = "random",
    baseline_features: Annotated[
        Literal["raw", "same", "both"],
        typer.Option(help="raw: the baseline without semi-supervised features or extras. both: half as long again."),
    ] = "raw",
    encoder: Annotated[
        Encoder, typer.Option(help="auto, minilm or hashed for texts; features are used as they are.")
    ] = ("auto"),
    teacher: Annotated[
        str,
        typer.Option(
            help="What students learn from: auto, logistic, lexical, prototypes, stacked, or sklearn:NAME of "
            "WINNOW_CLASSIFIERS."
        ),
    ] = "auto",
    student: Annotated[Literal["auto", "none"], typer.Option(help="none: measure the teacher only.")] = "auto",
    ranker: Annotated[Literal["teacher", "student"], typer.Option(help="Whose probabilities rank.")] = "teacher",
    noise: Annotated[float, typer.Option(min=0, max=1, help="Share of the answers that are wrong.")] = 0.0,
    out: Annotated[Path | None, typer.Option(help="Also write the result to this file.")] = None,
    json: Json = False,
) -> None:
    """Run the same round as the service's on a labelled file, and report labels needed beside a baseline.

    What is saved is told apart with --baseline-features both: in all, by selection and by semi-supervision.

    Labels that were not asked for, and all test labels, reach nothing but the scoring.
    """
    from cli.simulation import checked, report, run
    from winnow.classifiers import classifier_of
    from winnow.settings import Settings

    options = checked(
        strategy=strategy,
        initial=initial,
        batch=batch,
        budget=budget,
        seeds=seeds,
        baseline=baseline,
        baseline_features=baseline_features,
        encoder=encoder,
        teacher=teacher,
        classifier=classifier_of(teacher, Settings().classifiers),
        student=student,
        ranker=ranker,
        noise=noise,
    )
    report(run(pool, test, options), out, json)
