"""bench: the benchmarks of docs/benchmarks.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    bench = typer.Typer(no_args_is_help=True, help="The benchmarks of docs/benchmarks.md.")
    for command, short_help in (
        (rank, "Milliseconds of each query strategy."),
        (serve, "Annotators who label at once, over HTTP."),
        (student, "The student beside its teacher."),
        (round, "Seconds of a first round and of a warm one."),
        (encode, "Texts a second for each encoder."),
    ):
        bench.command(command.__name__, short_help=short_help)(command)
    app.add_typer(bench, name="bench")


def rank(
    rows: Annotated[list[int] | None, typer.Option(min=500, help="Rows of the pool. [default: 10000]")] = None,
    dim: Annotated[int, typer.Option(min=2, help="Length of a row.")] = 384,
    classes: Annotated[list[int] | None, typer.Option(min=2, help="Classes. [default: 10]")] = None,
    batch: Annotated[int, typer.Option(min=1, help="How many rows are asked for.")] = 100,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of BLAS and of our predictions.")] = 1,
    strategy: Annotated[list[str] | None, typer.Option(help="Which strategies. [default: all]")] = None,
    peers: Annotated[bool, typer.Option(help="Time other libraries' too.")] = True,
    limit: Annotated[float, typer.Option(min=0.1, help="Seconds for each ranking.")] = 5.0,
    memory_gb: Annotated[float, typer.Option(min=1.0, help="Memory that a process may take.")] = 8.0,
    json: Json = False,
) -> None:
    """What each query strategy costs, prediction included, beside the libraries that have it.

    --rows, --classes and --strategy may be given several times: every combination is measured.
    """
    from bench.rank import measure

    result = measure(
        rows or [10_000],
        classes or [10],
        dim=dim,
        batch=batch,
        repeat=repeat,
        threads=threads,
        strategies=strategy,
        peers=peers,
        limit=limit,
        memory_gb=memory_gb,
    )
    _report(result, json)


def serve(
    items: Annotated[int, typer.Option(min=10, help="Items that are labelled.")] = 2_000,
    pool: Annotated[int | None, typer.Option(help="Items in the pool. [default: --items]")] = None,
    annotators: Annotated[int, typer.Option(min=1, help="People who label at once.")] = 8,
    size: Annotated[int, typer.Option(min=1, max=100, help="Items in a batch.")] = 1,
    database: Annotated[str, typer.Option(help="sqlite, postgresql (started for this), or a URL.")] = "sqlite",
    json: Json = False,
) -> None:
    """Annotators who label at once, over HTTP: what is served twice or lost, and how long they wait."""
    from bench.serve import measure

    _report(measure(items, pool or items, annotators, size, database), json)


def student(
    labels: Annotated[int, typer.Option(min=20, help="Labels that the teacher has.")] = 400,
    pool: Annotated[int, typer.Option(min=100, help="Texts in the pool.")] = 5_000,
    set: Annotated[list[str] | None, typer.Option(help="agnews or banking77. [default: agnews]")] = None,
    family: Annotated[list[str] | None, typer.Option(help="Families of students. [default: the quick ones]")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Draws of labels, and students, to take means over.")] = 1,
    kept: Annotated[Path | None, typer.Option(help="Folder where MiniLM's features of the sets are kept.")] = None,
    json: Json = False,
) -> None:
    """Students of each family beside the teacher: accuracy, retention, calibration, size, speed, memory.

    --set and --family may be given several times.
    """
    from bench.student import FAMILIES, measure

    _report(
        measure(labels, pool=pool, sets=set or ["agnews"], families=family or FAMILIES, seeds=seeds, kept=kept), json
    )


def round(
    rows: Annotated[int, typer.Option(min=100, help="Items in the pool.")] = 10_000,
    labels: Annotated[int, typer.Option(min=20, help="Labels so far.")] = 400,
    texts: Annotated[str, typer.Option(help="The real set: agnews or banking77.")] = "agnews",
    json: Json = False,
) -> None:
    """Seconds, and CPU seconds, of a first round and of a warm one, step by step; of storing and of exporting it."""
    from bench.round import measure

    _report(measure(rows, labels, texts), json)


def encode(
    texts: Annotated[int, typer.Option(min=16, help="How many texts.")] = 512,
    json: Json = False,
) -> None:
    """Texts a second for each encoder, beside the same model in torch."""
    from bench.encode import measure

    _report(measure(texts), json)


def _report(result: dict[str, Any], json: bool) -> None:
    from bench.report import as_text
    from cli.console import emit, emit_json

    if json:
        emit_json(result)
    else:
        emit(as_text(result))
