"""What could not be run is said last, and is a failure where ``WINNOW_TEST_REQUIRE=all`` says so."""

from __future__ import annotations

import os

import pytest

_not_run = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the list."""
    config.stash[_not_run] = []


class _Watch:
    def __init__(self, found: list[str]) -> None:
        self._found = found

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self._found.append(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Watch every report, of modules and of tests."""
    session.config.pluginmanager.register(_Watch(session.config.stash[_not_run]), "winnow-not-run")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A test that could not be run counts as failed where all are required."""
    if session.config.stash[_not_run] and os.environ.get("WINNOW_TEST_REQUIRE") == "all" and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the list after everything else."""
    found = config.stash.get(_not_run, [])
    if found:
        required = " (and all are required: this is a failure)" if os.environ.get("WINNOW_TEST_REQUIRE") else ""
        print(f"could not be run: {len(found)}{required}")
        for line in found:
            print(f"  {line}")
