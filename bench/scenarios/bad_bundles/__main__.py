"""What a truncated, corrupted, huge or hostile bundle, weights file or tokenizer gets.

Each case runs in a process of its own, so that its time and memory are its own. Without a server.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.scenarios.bad_bundles.cases import CASES
from bench.scenarios.story import finish, parser, say

REFUSALS = ("BundleError", "CorruptModel", "UnusableModel")
SECONDS, MEGABYTES = 30.0, 600.0
"""No case may take longer, or make its process grow by more."""
_GRACE = 120.0


def main() -> None:
    """Try every case, and print what each got."""
    options = parser(__doc__)
    options.add_argument("--only", help="cases whose name holds this")
    options.add_argument("--markdown", type=Path, help="also write the table into this page, between its markers")
    given = options.parse_args()
    rows = [try_case(name) for name in CASES if not given.only or given.only in name]
    for row in rows:
        say(f"{row['input']}: {row['gets']}")
    if given.markdown:
        write_table(given.markdown, rows)
    finish({"cases": rows}, given.json, demands(rows))


def demands(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """What every case must hold to."""
    return {
        "each is refused by name": all(
            row["error"] in ("BundleError", "CorruptModel", "UnusableModel") for row in rows
        ),
        f"none takes more than {SECONDS:.0f} s": all(row["seconds"] <= SECONDS for row in rows),
        f"none takes more than {MEGABYTES:.0f} MB": all(row["megabytes"] <= MEGABYTES for row in rows),
        "none left anything outside its folder": all(row["left"] == 0 for row in rows),
    }


def try_case(name: str) -> dict[str, Any]:
    """One case in a process of its own: what it got, in which time, with how much memory."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(name, Path(folder), theirs))
        process.start()
        theirs.close()
        answer: dict[str, Any] = {"error": "none", "gets": "nothing: it was ended", "seconds": _GRACE, "megabytes": 0.0}
        try:
            if ours.poll(_GRACE):
                answer = ours.recv()
        except EOFError:
            answer["gets"] = "the process died"
        process.kill()
        process.join()
        left = sum(1 for path in Path(folder).iterdir() if path.name != "case")
    return {"input": name, **answer, "left": left}


def _child(name: str, folder: Path, answer: Any) -> None:
    import psutil

    inside = folder / "case"
    inside.mkdir()
    use = CASES[name](inside)  # what prepares the case is not measured
    peak = _peak()
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    try:
        use()
        error, gets = "none", "taken without a word"
    except Exception as raised:
        error, gets = type(raised).__name__, told(raised, inside)
    seconds = time.perf_counter() - began
    grown = max(0, max(_peak() - peak, psutil.Process().memory_info().rss - before))
    answer.send({"error": error, "gets": gets, "seconds": round(seconds, 2), "megabytes": round(grown / 1e6)})


def told(raised: Exception, folder: Path) -> str:
    """What an error says, without where the case lies, and without places in files and in libraries' sources."""
    said = " ".join(str(raised).split()).replace(f"{folder}/", "")
    for place, kept in _PLACES.items():
        said = re.sub(place, kept, said)
    return said


_PLACES = {
    r"(?: starting at)?: line \d+ column \d+ \(char \d+\)": "",  # of JSON
    r" at line \d+ column \d+": "",  # of JSON in a header of safetensors, and of a tokenizer
    r" Name:'[^']*' Status Message: /onnxruntime_src.*": "",
}


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_table(page: Path, rows: list[dict[str, Any]]) -> None:
    """Put the table between ``<!-- cases -->`` and ``<!-- end of cases -->``."""
    text = page.read_text("utf-8")
    start, end = "<!-- cases -->", "<!-- end of cases -->"
    if start not in text or end not in text:
        raise argparse.ArgumentTypeError(f"{page} has no {start} … {end}")
    lines = ["| what comes | gets |", "|---|---|", *(line_of(row["input"], row["error"], row["gets"]) for row in rows)]
    before, after = text.partition(start)[0], text.partition(end)[2]
    page.write_text(f"{before}{start}\n" + "\n".join(lines) + f"\n{end}{after}", "utf-8")


def line_of(name: str, error: str, gets: str) -> str:
    """A case as a line of the table."""
    said = gets.split(" Unpack the whole")[0].split(" Delete it, or")[0].replace("|", "\\|").replace("<", "&lt;")
    return f"| {name} | `{error}`: {said} |"


if __name__ == "__main__":
    main()
