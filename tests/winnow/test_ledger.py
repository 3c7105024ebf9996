"""The ledger: what work cost."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from winnow.db.session import Database
from winnow.db.tables import Project
from winnow.ledger import Cost, CostMeter, record_cost, totals
from winnow.settings import Settings


def burn(seconds: float) -> None:
    import time

    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_the_meter_counts_threads_and_children_and_not_what_was_before() -> None:
    burn(0.2)
    with CostMeter() as meter:
        burn(0.1)
        thread = threading.Thread(target=burn, args=(0.1,))
        thread.start()
        thread.join()
        code = "import time\nwhile time.process_time() < .2: pass"
        subprocess.run([sys.executable, "-S", "-c", code], check=True)
        inside = meter.cost(flops=7.0)
    burn(0.2)
    assert 0.4 <= inside.cpu_seconds <= meter.cost().cpu_seconds < 0.75
    assert inside.wall_seconds <= meter.cost().wall_seconds
    assert inside.flops == 7.0


def test_the_meter_sees_the_peak_of_memory() -> None:
    # In a process of its own: where a peak cannot be reset, it is that of everything that ran before.
    code = """
from winnow.ledger import CostMeter
with CostMeter() as small:
    pass
with CostMeter() as large:
    data = bytearray(b"x") * (64 << 20)
    del data
print(large.cost().peak_memory_bytes - small.cost().peak_memory_bytes)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) > 50 << 20


def test_energy_and_carbon_follow_from_the_stated_rates() -> None:
    settings = Settings(watts_per_core=18.0, grams_co2e_per_kwh=500.0)
    priced = Cost(cpu_seconds=200.0, wall_seconds=100.0, peak_memory_bytes=5).priced(settings)
    assert priced["watt_hours"] == 1.0
    assert priced["grams_co2e"] == 0.5
    assert priced["flops"] is None


def test_totals_add_up_what_a_project_cost(database: Database) -> None:
    settings = Settings(watts_per_core=36.0)
    with database.write() as session:
        mine, other = (Project(name="p", task="text", labels=[], settings={}, order_key="0") for _ in range(2))
        session.add_all([mine, other])
        session.flush()
        for project, kind, cost in (
            (mine, "round", Cost(10, 5, 300, 1e9)),
            (mine, "round", Cost(20, 5, 200, 2e9)),
            (mine, "import", Cost(70, 9, 100)),
            (other, "import", Cost(1000, 9, 100)),
        ):
            record_cost(session, cost, settings, kind=kind, project_id=project.id, job_id=None, attempt=1)
    with database.read() as session:
        total = totals(session, mine.id)
        assert totals(session, 99)["cpu_seconds"] == 0
    assert (total["attempts"], total["cpu_seconds"], total["wall_seconds"]) == (3, 100, 19)
    assert (total["peak_memory_bytes"], total["flops"]) == (300, 3e9)
    assert total["watt_hours"] == pytest.approx(1.0)
    assert total["by_kind"]["import"]["flops"] is None
    assert total["by_kind"]["round"]["cpu_seconds"] == 30
