"""A project of many texts from SQLite to PostgreSQL and back, by ``winnow copy``: time, memory, rows that differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from bench.annotators import sign_in
from bench.scenarios.story import finish, parser, say
from bench.server import RunningServer
from bench.servers.postgresql import PostgreSQL

_ROOT = Path(__file__).resolve().parents[2]
_LABELLED = 5  # each fifth text comes with its label
_WATCH_SECONDS = 0.05


def main() -> None:
    """Fill a project over HTTP, stop the service, and take the project there and back."""
    options = parser(__doc__)
    options.add_argument("--items", type=int, default=100_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="winnow-copy-") as folder, PostgreSQL() as server:
        home, away, back = (Path(folder) / name for name in ("home", "away", "back"))
        for place in (home, away, back):
            place.mkdir()
        _fill(home, given.items)
        sqlite, postgresql = f"sqlite:///{home / 'winnow.db'}", server.create_database()
        again = f"sqlite:///{back / 'winnow.db'}"
        rows = [
            _copy("SQLite to PostgreSQL", sqlite, postgresql, home, away),
            _copy("PostgreSQL to SQLite", postgresql, again, away, back),
        ]
    demands = {
        "every row is there and equal": all(row["rows"] == row["equal"] > given.items for row in rows),
        "both ways copy the same number of rows": rows[0]["rows"]
        == rows[1]["rows"] - 1,  # the audit entry of the first
        "it takes less than 250 MB": all(row["peak_mb"] < 250 for row in rows),
    }
    finish({"items": given.items, "copies": rows}, given.json, demands)


def _fill(data: Path, items: int) -> None:
    with (
        RunningServer(data=data, workers=0) as server,
        sign_in(server.url, server.email, server.password) as owner,
    ):
        body = {"name": "moving", "task": "text", "labels": ["even", "odd"]}
        project = owner.post("/v1/projects", json=body).raise_for_status().json()["id"]
        for start in range(0, items, 1000):
            rows = [_row(number) for number in range(start, min(start + 1000, items))]
            owner.post(f"/v1/projects/{project}/items", json={"items": rows}).raise_for_status()


def _row(number: int) -> dict[str, Any]:
    label = {"label": "odd" if number % 2 else "even"} if number % _LABELLED == 0 else {}
    return {"key": f"k{number}", "text": f"a text of some length with the number {number} in it", **label}


def _copy(name: str, source: str, target: str, source_folder: Path, target_folder: Path) -> dict[str, Any]:
    """One run of the command, as a user calls it; its memory is looked at while it runs."""
    storages = [(folder / "storage").as_uri() for folder in (source_folder, target_folder)]
    command = [sys.executable, "-m", "cli.main", "copy", source, target, "--all", "--json"]
    command += ["--from-storage", storages[0], "--to-storage", storages[1]]
    environment = {**os.environ, "WINNOW_DATA": str(target_folder)}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=_ROOT)
    seen = {"rss": 0.0, "cpu": 0.0}
    watching = threading.Thread(target=_watch, args=(process.pid, seen), daemon=True)
    watching.start()
    printed, complaints = process.communicate()
    seconds = time.perf_counter() - began
    watching.join()
    if process.returncode != 0:
        raise RuntimeError(f"winnow copy ended with {process.returncode}: {complaints.decode()[-500:]}")
    [project] = json.loads(printed)["projects"]
    tables = project["tables"].values()
    say(f"{name}: {seconds:.0f} s")
    return {
        "copy": name,
        "rows": sum(table["copied"] for table in tables),
        "equal": sum(table["equal"] for table in tables),
        "seconds": seconds,
        "cpu_seconds": seen["cpu"],
        "peak_mb": seen["rss"] / 1e6,
    }


def _watch(pid: int, seen: dict[str, float]) -> None:
    try:
        process = psutil.Process(pid)
        while True:
            times = process.cpu_times()
            seen["rss"] = max(seen["rss"], process.memory_info().rss)
            seen["cpu"] = max(seen["cpu"], times.user + times.system)
            time.sleep(_WATCH_SECONDS)
    except psutil.Error:
        return


if __name__ == "__main__":
    main()
