"""What ran on which server, and what could not be run, is said last.

A test that could not be run counts as a failure where ``WINNOW_TEST_REQUIRE=all`` says so.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

# Two processes of tests share the cores: threads of their own, in numpy and torch, only wait for one another there.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Each client of HTTP would read every certificate that the system trusts, for 40 ms, and a test makes several clients.
# From a folder they are read as they are asked for, and no test asks: nothing is called outside the loopback.
os.environ.pop("SSL_CERT_FILE", None)
os.environ.setdefault("SSL_CERT_DIR", ssl.get_default_verify_paths().openssl_capath)


MEMORY = Path("/dev/shm")  # noqa: S108 — what is made there has a folder of its own, as in /tmp
NEEDED_BYTES = 6 << 30


def _fits_in_memory() -> bool:
    """Whether all that tests leave on the way fits beside them, and programs may be started from there."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return False
    return min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) >= NEEDED_BYTES


# A database for each test is three hundred files: in memory PostgreSQL makes and drops them in a tenth of the time.
if "TMPDIR" not in os.environ and _fits_in_memory():
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

_not_run = pytest.StashKey[list[str]]()
_ran_on = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the lists."""
    config.stash[_not_run] = []
    config.stash[_ran_on] = Counter()


#: Where the tests take longest by the file, or by the deployment, the longest first.
LONGEST = (
    "contract",
    "brokers",
    "scenarios",
    "worker",
    "hostile",
    "ui",
    "migrations",
    "cli",
    "api",
    "winnow",
    "models",
)


def _place(item: pytest.Item) -> int:
    below = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    return LONGEST.index(below) if below in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several processes the longest come first, or one would still be at them when the others are done."""
    if hasattr(config, "workerinput"):
        items.sort(key=_place)


#: Packages whose tests run once for each deployment, which all of them share.
DEPLOYED = {"tests/contract": ("embedded", "redis", "rabbitmq")}


def group_of(nodeid: str) -> str:
    """Tests that one process runs, for they share what was started for them: a file's, or a deployment's.

    (The mark that xdist has for this means nothing to it under pytest 9.)
    """
    path, _, rest = nodeid.partition("::")
    package = path.rpartition("/")[0]
    parameters = re.split(r"[\[\]-]", rest)[1:]
    deployment = next((name for name in DEPLOYED.get(package, ()) if name in parameters), None)
    return f"{package}@{deployment}" if deployment else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole groups, where ``--dist loadscope`` asks for something of the kind."""
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


class _Watch:
    """Sees each report, also those that come from other processes."""

    def __init__(self, config: pytest.Config) -> None:
        self._not_run, self._ran_on = config.stash[_not_run], config.stash[_ran_on]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)
        if report.when == "call" and not report.skipped:
            self._ran_on.update({str(value) for name, value in report.user_properties if name == "ran_on"})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self._not_run.append(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Watch every report, of modules and of tests."""
    session.config.pluginmanager.register(_Watch(session.config), "winnow-watch")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A test that could not be run counts as failed where all are required."""
    if session.config.stash[_not_run] and _all_required() and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _all_required() -> bool:
    return os.environ.get("WINNOW_TEST_REQUIRE") == "all"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the lists after everything else."""
    if hasattr(config, "workerinput"):  # one of several processes: the first one says it
        return
    for title, count in sorted(config.stash.get(_ran_on, Counter()).items()):
        print(f"ran on {title}: {count} {'test' if count == 1 else 'tests'}")
    found = config.stash.get(_not_run, [])
    if found:
        required = " (and all are required: this is a failure)" if _all_required() else ""
        print(f"could not be run: {len(found)}{required}")
        for line in found:
            print(f"  {line}")
