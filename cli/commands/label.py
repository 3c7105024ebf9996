"""label: from a file to the first item in the browser, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Data


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("label", short_help="From a file to the first item in the browser.")(label)


def label(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="Texts (CSV, TSV, JSONL, Parquet), a ZIP of images, or .npz."),
    ],
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="The classes. [default: those that the file names]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The project's name. [default: the file's]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the API, 0 for any. [default: 8000]")
    ] = None,
    ui_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the pages, 0 for any. [default: 8501]")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address only.")] = False,
    data: Data = None,
) -> None:
    """Serve, make a project from FILE, and open the browser, signed in, at the first item.

    The same file and name again goes on with the project that is there.
    """
    from functools import partial

    from cli.labeling import begin, describe
    from cli.options import load_settings
    from cli.supervisor import Supervisor

    plan = describe(file, labels, name)
    settings = load_settings(port=port, ui_port=ui_port, data=data)
    Supervisor(settings, on_ready=partial(begin, settings, plan, not no_browser)).run()
