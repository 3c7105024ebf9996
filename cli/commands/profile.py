"""profile: what students cost on the machine that they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("profile", short_help="What students cost on this machine, for a project's settings.")(profile)


def profile(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the profile to this file.")] = None,
    json: Json = False,
) -> None:
    """Measure reference students of each family on this machine, one thread.

    Run it on the machine that students are for, and put what --json prints into a project's setting "device": its
    budget "student_ms" is then held against that machine, wherever the workers run.
    """
    from json import dumps

    from cli.console import emit, emit_json
    from models.profile import measure_profile

    measured = measure_profile()
    if out is not None:
        out.write_text(dumps(measured, indent=1) + "\n", encoding="utf-8")
    if json:
        emit_json(measured)
    else:
        emit(_as_text(measured))


def _as_text(measured: dict[str, Any]) -> str:
    from bench.report import as_text

    rows = [{"family": family, **entry} for family, entry in measured["families"].items()]
    return as_text({**{name: measured[name] for name in ("machine", "cores", "onnxruntime")}, "students": rows})
