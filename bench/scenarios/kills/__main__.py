"""kill -9 of every part of every deployment at random moments, while people label, files are imported, rounds train.

Killed are the API, the worker with all of its processes, one process of the worker, the broker and the database server;
and one process of the worker is stopped until another has its job, and then goes on.
Nothing that was acknowledged may be lost, nothing served twice at once, every job ends with one result, files and
counters agree with the rows; and it says how long it takes to go on.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

from bench.annotators import sign_in
from bench.scenarios.kills.cell import run_cell
from bench.scenarios.kills.deployments import DEPLOYMENTS, LOSE_WORK, PARTS, deployed
from bench.scenarios.story import finish, parser, say


def main() -> None:
    """Run every part × deployment that was asked for, and print the table."""
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=20, help="kills of each part of each deployment")
    options.add_argument("--seed", type=int, default=None, help="moments and victims come from it; printed")
    options.add_argument("--deployment", action="append", choices=DEPLOYMENTS, help="again for another; default: all")
    options.add_argument("--part", action="append", choices=PARTS, help="again for another; default: all")
    given = options.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    say(f"seed {seed}")
    began = time.perf_counter()
    rows = []
    for name in given.deployment or DEPLOYMENTS:
        rows += run_deployment(name, given.part or PARTS, given.kills, seed)
    finish(
        {"seed": seed, "kills": given.kills, "seconds": round(time.perf_counter() - began), "table": rows},
        given.json,
        demands_of(rows, given.kills),
    )


def run_deployment(name: str, parts: Any, kills: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one deployment; parts that it does not have are left out of the counts, and named."""
    rows: list[dict[str, Any]] = []
    with deployed(name) as deployment, sign_in(deployment.server.url, *_owner(deployment)) as owner:
        for number, part in enumerate(parts):
            if part in deployment.parts:
                rows.append(run_cell(deployment, owner, part, [part] * kills, seed * 10 + number))
            else:
                rows.append({"deployment": name, "part": part, "kills": "n/a"})
            say(json.dumps(rows[-1]))
    return rows


def _owner(deployment: Any) -> tuple[str, str]:
    return deployment.server.email, deployment.server.password


def demands_of(rows: list[dict[str, Any]], kills: int) -> dict[str, bool]:
    """What is demanded of the table."""
    killed = [row for row in rows if row["kills"] != "n/a"]
    none = {
        "no acknowledged label is lost": "lost labels",
        "nothing is served to two people at once": "double served",
        "every job ended": "jobs not ended",
        "each with one result; counters, leases and files agree with the rows": "wrong",
        "it went on after each kill": "never went on",
    }
    demands = {
        f"each part was killed {kills} times": all(row["kills"] == kills for row in killed),
        "each way to lose a worker hit work": all(
            count > 0 for row in killed for victim, count in row["hits"].items() if victim in LOSE_WORK
        ),
        "bundles were made": all(row["exports"] > 0 for row in killed),
        "no death is counted where no worker lost its work": all(
            row["deaths"] == 0 for row in killed if not LOSE_WORK & set(row["hits"])
        ),
    }
    return demands | {what: all(row[name] == 0 for row in killed) for what, name in none.items()}


if __name__ == "__main__":
    main()
