"""What every scenario shares: its options, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.report import as_text


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every scenario."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
    return made


def data_file(name: str) -> Path:
    """A file of the folder that ``WINNOW_BENCH_DATA`` names; ends the program with one line where there is none."""
    folder = os.environ.get("WINNOW_BENCH_DATA")
    if not folder or not (Path(folder) / name).exists():
        sys.exit(f"{name} is not there: WINNOW_BENCH_DATA must name the folder that has it")
    return Path(folder) / name


def say(text: str) -> None:
    """Tell how far the scenario is, on stderr."""
    print(text, file=sys.stderr, flush=True)


def finish(result: dict[str, Any], as_json: bool, demands: dict[str, bool]) -> None:
    """Print the result with what was demanded of it, and end: 0 when all of it holds, 1 otherwise."""
    if as_json:
        print(json.dumps({**result, "demands": demands}))
    else:
        print(as_text(result), "", *(f"{'yes' if held else 'NO '}  {what}" for what, held in demands.items()), sep="\n")
    sys.exit(0 if all(demands.values()) else 1)
