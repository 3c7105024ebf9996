"""The ``winnow`` command. Light on purpose: what a command needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cli.commands import (
    administration,
    benchmarks,
    compress,
    copying,
    demo,
    files,
    label,
    profile,
    reproduce,
    rest,
    serve,
    simulate,
)
from cli.errors import line_of

app = typer.Typer(
    name="winnow",
    help="Label less, train small: a labeling service that asks for the labels that teach the most.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("winnow"))
        raise typer.Exit


@app.callback()
def winnow(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Label less, train small: a labeling service that asks for the labels that teach the most."""


_COMMANDS = (
    *(serve, label, demo, simulate, compress, files, rest, reproduce),
    *(administration, copying, profile, benchmarks),
)
for module in _COMMANDS:
    module.register(app)


def main() -> None:
    """Run the command line; exits 0 on success, 2 on wrong usage, 1 otherwise with one line on stderr."""
    try:
        app()
    except KeyboardInterrupt as error:
        sys.exit(_fail(line_of(error)))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("WINNOW_DEBUG"):
            raise
        sys.exit(_fail(line_of(error)))


def _fail(line: str) -> int:
    print("winnow: " + " ".join(line.split()), file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
