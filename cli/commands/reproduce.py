"""reproduce: train the student of a bundle again, and say whether it became the same."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, Token, Url


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("reproduce", short_help="Train a bundle's student again, to the same weights.")(reproduce)


def reproduce(
    bundle: Annotated[Path, typer.Argument(exists=True, help="The bundle: the ZIP, or the folder it is unpacked in.")],
    data: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Its training data. [default: ask the server for it]"),
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the training data that the server gave in this file.")] = None,
    url: Url = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Train the student of a bundle again from what it was taught, and compare the weights.

    Ends with 0 where they are the same to the bit, and with 1 where they are not: what differs is said.
    """
    from cli.console import emit, emit_json
    from cli.reproduction import read_training
    from cli.reproduction import reproduce as train_again

    if data is not None:
        outcome = train_again(bundle, data)
    else:
        manifest, training = read_training(bundle)
        with tempfile.TemporaryDirectory() as folder:
            fetched = keep or Path(folder) / "training.zip"
            _fetch(str(training.get("project_id")), str(manifest.get("version")), fetched, url, token)
            outcome = train_again(bundle, fetched)
    if json:
        emit_json(asdict(outcome))
    else:
        for line in outcome.lines():
            emit(line)
    if not outcome.same:
        raise typer.Exit(1)


def _fetch(project: str, version: str, to: Path, url: str | None, token: str | None) -> None:
    """Have the server gather the training data, and write it."""
    from cli.options import connect
    from cli.transfer import wait, writing

    with connect(url, token) as client:
        result = wait(client, client.export_student(project, version, format="training-data"), "gathering")
        with writing(to) as target:
            client.download(result["download_url"], target)
