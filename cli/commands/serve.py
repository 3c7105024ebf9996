"""serve: the whole service under one supervisor."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Data


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("serve", short_help="Run API, pages and jobs under one supervisor.")(serve)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the API, 0 for any. [default: 8000]")
    ] = None,
    ui_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the pages, 0 for any. [default: 8501]")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="How many jobs run at once here; 0: other machines do them.")] = 1,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Serve no pages.")] = False,
    data: Data = None,
) -> None:
    """Serve the API and the pages, and run the jobs, until Ctrl-C or SIGTERM.

    The first start prints the owner's e-mail and generated password.
    """
    from cli.options import load_settings
    from cli.supervisor import Supervisor

    settings = load_settings(host=host, port=port, ui_port=ui_port, data=data)
    Supervisor(settings, workers=workers, ui=not no_ui).run()
