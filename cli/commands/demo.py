"""demo: the whole loop on real images, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("demo", short_help="The whole loop on real images, measured.")(demo)


def demo(
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Rounds of training.")] = 5,
    seeds: Annotated[int, typer.Option(min=2, max=50, help="Runs behind the learning curve's intervals.")] = 5,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the bundle is left. [default: demo-out]")
    ] = None,
    json: Json = False,
) -> None:
    """Show the whole loop: a real server, simulated annotators, rounds, a bundle that runs, and the learning curve.

    Data: the handwritten digits that come with scikit-learn. Takes a few minutes and leaves only the bundle.
    """
    from cli.console import emit, emit_json
    from cli.demonstration.run import run
    from cli.demonstration.summary import summary

    result = run(rounds, seeds, (out or Path("demo-out")).absolute())
    if json:
        emit_json(result)
    else:
        emit(summary(result))
