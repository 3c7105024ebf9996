"""label-rest: have the student label what it is certified to be right about, or take that back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.commands.files import ProjectArgument
from cli.options import Json, Token, Url


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("label-rest", short_help="Let the student label what it is certified to be right about.")(label_rest)


def label_rest(
    project: ProjectArgument,
    alpha: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="The largest share of errors among what is accepted.")
    ] = 0.05,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="How sure to be of it.")] = 0.95,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the labels; without it, only say what would be.")
    ] = False,
    undo: Annotated[
        str | None, typer.Option(metavar="RUN", help="Take back the labels of this run that still stand.")
    ] = None,
    url: Url = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Accept the student's labels above a confidence whose error is certified on held-out labels."""
    from cli.console import emit, emit_json
    from cli.options import connect, find_project
    from cli.transfer import wait

    if undo is not None and apply:
        raise typer.BadParameter("give either --apply or --undo", param_hint="--undo")
    with connect(url, token) as client:
        found = find_project(client, project)
        if undo is not None:
            result = wait(client, client.undo_label_run(found.id, undo), "taking labels back")
        else:
            job = client.label_rest(found.id, alpha=alpha, confidence=confidence, dry_run=not apply)
            result = {"run": job.id, **wait(client, job, "reading the pool")}
    if json:
        emit_json(result)
    else:
        emit(f"{result['removed']} labels taken back" if undo is not None else _sentence(result))


def _sentence(result: dict[str, Any]) -> str:
    if result["threshold"] is None:
        return str(result["reason"])
    what = f"would be accepted ({result['coverage']:.1%} of what is left); --apply writes them"
    if not result["dry_run"]:
        what = f"accepted; --undo {result['run']} takes them back"
    return f"{result['accepted']} labels {what}. {result['reason']}"
