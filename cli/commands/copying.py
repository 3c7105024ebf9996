"""copy: projects from one database to another."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("copy", short_help="Copy projects to another database, as from SQLite to PostgreSQL.")(copy)


def copy(
    from_url: Annotated[str, typer.Argument(metavar="FROM-URL", help="The database that has the projects.")],
    to_url: Annotated[str, typer.Argument(metavar="TO-URL", help="The database that gets them.")],
    project: Annotated[
        list[str] | None, typer.Option(metavar="ID|NAME", help="Which project; may be given more than once.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All projects, and all accounts.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what the target has a copy of already.")] = False,
    from_storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the source's files are. [default: see docs/cli.md]")
    ] = None,
    to_storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the target's files go. [default: see docs/cli.md]")
    ] = None,
    json: Json = False,
) -> None:
    """Copy projects with people, items, labels, rounds, students and files, each whole or not at all.

    URLs are as sqlite:////FOLDER/winnow.db and postgresql://USER@HOST/DATABASE. Every row is read back and compared.
    """
    if all == bool(project):
        raise typer.BadParameter("say which projects: --project (more than once, if need be) or --all")
    from cli.console import Progress, emit, emit_json, quiet_logs, table
    from cli.copying import Places, copy_projects
    from cli.options import load_settings

    quiet_logs()
    places = Places.resolve(load_settings(), from_url, to_url, from_storage, to_storage)
    bar = Progress()
    try:
        answer = copy_projects(places, project, everything=all, again=again, bar=bar)
    finally:
        bar.close()
    if json:
        emit_json(answer)
        return
    for done in answer["projects"]:
        emit(f"{done['name']}: {done['from_id']} → {done['id']}")
        rows = [[name, f"{count['copied']:,}", f"{count['equal']:,}"] for name, count in done["tables"].items()]
        emit(table(["", "copied", "equal"], rows))
        people, files = done["people"], done["files"]
        emit(f"people: {len(people['matched'])} were there, {len(people['made'])} made")
        emit(f"files: {files['copied']} copied and compared, {files['bytes']:,} bytes")
