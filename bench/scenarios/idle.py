"""Start-up and memory: seconds to the first answer, what each process holds when nothing happens, what is loaded."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.scenarios.story import finish, parser
from bench.server import RunningServer

_ROOT = Path(__file__).resolve().parents[2]
_SETTLE_SECONDS = 5.0


def main() -> None:
    """Start twice (first start and a later one), look, and stop."""
    given = parser(__doc__).parse_args()
    with RunningServer(ui=True) as server:
        time.sleep(_SETTLE_SECONDS)
        rows = [_row(name, process) for name, process in server.processes().items()]
        stop_seconds = server.stop()
    with RunningServer(ui=False) as again:
        api_start = again.start_seconds
    torch_in_api = _torch_in_api()
    api_mb = next(row["private_mb"] for row in rows if row["process"] == "api")
    result: dict[str, Any] = {
        "start_seconds": server.start_seconds,
        "start_without_pages_seconds": api_start,
        "stop_seconds": stop_seconds,
        "help_cpu_seconds": _help_cpu(),
        "torch_in_api": torch_in_api,
        "processes": rows,
    }
    demands = {
        "winnow --help takes under 0.3 s of CPU": result["help_cpu_seconds"] < 0.3,
        "the API has no torch": not torch_in_api,
        "the API holds at most 150 MB": api_mb <= 150,
        "it stops within 10 s": stop_seconds <= 10,
    }
    finish(result, given.json, demands)


def _row(name: str, process: Any) -> dict[str, Any]:
    family = [process, *process.children(recursive=True)] if name != "supervisor" else [process]
    memory = [member.memory_full_info() for member in family]
    return {
        "process": name,
        "count": len(family),
        "private_mb": sum(part.uss for part in memory) / 1e6,
        "resident_mb": sum(part.rss for part in memory) / 1e6,
        "cpu_seconds_since_start": sum(sum(member.cpu_times()[:2]) for member in family),
    }


def _torch_in_api() -> bool:
    code = "import cli.serve_api, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT, check=True)
    return done.stdout.strip() == "True"


def _help_cpu() -> float:
    """CPU-seconds of ``winnow --help``, the best of three."""
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'cli.main', '--help'], stdout=subprocess.DEVNULL, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)"
    )
    runs = [
        float(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT, check=True).stdout
        )
        for _ in range(3)
    ]
    return min(runs)


if __name__ == "__main__":
    main()
