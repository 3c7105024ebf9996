"""import, export-labels, export-student, predict: files in and out of a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Json, Token, Url

ProjectArgument = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's id, or its name.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("import", short_help="Import a file into a project.")(import_file)
    app.command("export-labels")(export_labels)
    app.command("predict", short_help="Write what a student says of the whole pool.")(predict)
    app.command("export-student", short_help="Write a student as a bundle that runs by itself.")(export_student)


def import_file(
    project: ProjectArgument,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="JSONL, CSV, TSV, Parquet, ZIP of images or .npz.")
    ],
    format: Annotated[
        str | None, typer.Option(help="csv, tsv, jsonl, parquet, zip or npz. [default: by the file]")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option(metavar="JSON", help='Which column is what, as {"text": "body", "label": "topic"}.')
    ] = None,
    labels: Annotated[Literal["use", "ignore"], typer.Option(help="What to do with labels that the file has.")] = "use",
    on_duplicate: Annotated[
        Literal["skip", "update", "merge_labels"], typer.Option(help="What to do with items that are there already.")
    ] = "skip",
    url: Url = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Import a file into a project and wait until it is there; rows that cannot be used are named."""
    from cli.console import emit, emit_json, say
    from cli.options import connect, find_project
    from cli.transfer import parse_mapping, wait

    columns = parse_mapping(mapping)
    with connect(url, token) as client:
        found = find_project(client, project)
        job = client.import_file(
            found.id, file, format=format, mapping=columns, labels=labels, on_duplicate=on_duplicate
        )
        result = wait(client, job, f"importing {file.name}")
    if json:
        emit_json(result)
        return
    emit(f"{result['created']} created, {result['duplicates']} duplicates, {result['rejected']} rejected")
    for error in result["errors"][:10]:
        say(f"  line {error['line']}: {error['reason']}")
    if len(result["errors"]) > 10:
        say(f"  and {len(result['errors']) - 10} more (--json gives them)")


def export_labels(
    project: ProjectArgument,
    format: Annotated[Literal["jsonl", "csv", "parquet"], typer.Option(help="The form of the rows.")] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="Where to write them. [default: stdout]")] = None,
    all: Annotated[bool, typer.Option("--all", help="The whole history, not only labels that stand.")] = False,
    url: Url = None,
    token: Token = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout (needs --out).")] = False,
) -> None:
    """Write a project's labels."""
    from cli.console import emit_json, say
    from cli.options import connect, find_project
    from cli.transfer import writing

    if json and out is None:
        raise typer.BadParameter("the labels cannot go to stdout as well: give --out", param_hint="--json")
    with connect(url, token) as client:
        found = find_project(client, project)
        with writing(out) as target:
            n_bytes = client.download_labels(found.id, target, format=format, all=all)
    if json:
        emit_json({"out": str(out), "bytes": n_bytes})
    elif out is not None:
        say(f"{out}: {n_bytes} bytes")


def export_student(
    project: ProjectArgument,
    out: Annotated[Path, typer.Option(help="Where to write the bundle (.zip).")],
    version: Annotated[str, typer.Option(help="Which version, or current.")] = "current",
    format: Annotated[
        str, typer.Option(help="onnx-int8, onnx, cascade, numpy, openvino, litert, executorch or huggingface.")
    ] = "onnx-int8",
    accuracy: Annotated[float | None, typer.Option(min=0, max=1, help="Of a cascade: what it is to reach.")] = None,
    share: Annotated[float | None, typer.Option(min=0, max=1, help="Of a cascade: the share passed on.")] = None,
    url: Url = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Export a student as a bundle that runs by itself, and write it."""
    from cli.console import emit_json, say
    from cli.options import connect, find_project
    from cli.transfer import wait, writing

    aim = {name: value for name, value in (("accuracy", accuracy), ("share", share)) if value is not None}
    if aim and format != "cascade":
        raise typer.BadParameter("only a cascade has one: give --format cascade", param_hint=f"--{next(iter(aim))}")
    if len(aim) > 1:
        raise typer.BadParameter("give --accuracy or --share, not both", param_hint="--share")
    with connect(url, token) as client:
        found = find_project(client, project)
        result = wait(client, client.export_student(found.id, version, format=format, **aim), "exporting")
        with writing(out) as target:
            n_bytes = client.download(result["download_url"], target)
    if json:
        emit_json({**result, "out": str(out), "bytes": n_bytes})
    else:
        say(f"{out}: {n_bytes} bytes")


def predict(
    project: ProjectArgument,
    format: Annotated[Literal["jsonl", "csv"], typer.Option(help="The form of the rows.")] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="Where to write them. [default: stdout]")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Which student. [default: the current one]")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="CSV only: leave what spreadsheets would run as it is.")] = False,
    url: Url = None,
    token: Token = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout (needs --out).")] = False,
) -> None:
    """Write the whole pool: what people labelled, and what the student says of all else."""
    from cli.console import Progress, emit_json, say
    from cli.options import connect, find_project
    from cli.transfer import writing

    if json and out is None:
        raise typer.BadParameter("the rows cannot go to stdout as well: give --out", param_hint="--json")
    with connect(url, token) as client:
        found = find_project(client, project)
        bar = Progress()

        def told(lines: int, total: int | None) -> None:
            bar.update(lines / total if total else 0.0, f"{lines:,} of {total or 0:,} items")

        try:
            with writing(out) as target:
                lines = client.download_predictions(
                    found.id, target, format=format, version=version, raw=raw, on_progress=told
                )
        finally:
            bar.close()
    if json:
        emit_json({"out": str(out), "lines": lines})
    elif out is not None:
        say(f"{out}: {lines} lines")
