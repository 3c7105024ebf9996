"""How well and how fast the languages of texts are told: real English texts, and what is said of them.

``python -m bench.languages`` needs ``WINNOW_BENCH_DATA``. ``--json`` prints the rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from typing import Any

from bench.texts import labelled_texts
from models.languages import count_languages

SETS = ("agnews", "banking77")


def measure(name: str, texts: int) -> dict[str, Any]:
    """Shares of a set's texts that are told to be English, to be in another language, and in none that is clear."""
    sample, _, source = labelled_texts(texts, name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    count_languages([])
    loading = time.process_time() - began
    began = time.process_time()
    found, unclear = count_languages(sample)
    seconds = time.process_time() - began - loading
    n = len(sample)
    return {
        "set": source,
        "texts": n,
        "english": found.get("en", 0) / n,
        "another": (n - found.get("en", 0) - unclear) / n,
        "unclear": unclear / n,
        "ms_a_text": 1000 * seconds / n,
        "loading_seconds": loading,
        "more_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def main(argv: list[str] | None = None) -> int:
    """Print the table, or with ``--json`` its rows."""
    parser = argparse.ArgumentParser(prog="python -m bench.languages", description=__doc__)
    parser.add_argument("--texts", type=int, default=5_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    rows = [measure(name, asked.texts) for name in SETS]
    if asked.json:
        print(json.dumps(rows))
        return 0
    print(
        "| texts | English | another language | unclear | ms a text | seconds to load | MB more |\n"
        "|---|---|---|---|---|---|---|"
    )
    for row in rows:
        print(
            f"| {row['texts']:,} of {row['set']} | {row['english']:.2%} | {row['another']:.2%} | {row['unclear']:.2%} "
            f"| {row['ms_a_text']:.2f} | {row['loading_seconds']:.1f} | {row['more_mb']:.0f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
