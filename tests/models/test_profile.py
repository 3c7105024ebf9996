"""What a student costs, and what a device is by its profile."""

from __future__ import annotations

import numpy as np
import pytest

from models import profile
from models.errors import ModelError
from models.export.onnx_graph import build_graph
from models.profile import FAMILIES, measure_footprint, measure_profile, reference_student, slowdown
from models.students import FAMILIES_OF_TASK
from tests.models.small_students import text_student, texts


def test_the_footprint_is_that_of_the_int8_graph():
    found = measure_footprint(text_student(), texts(100)[0])
    fp32 = len(build_graph(text_student()).SerializeToString()) / 1e6
    assert found.megabytes < 0.5 * fp32
    assert 0 < found.p50_ms <= found.p95_ms
    assert found.items_per_second > 0


def test_every_quick_family_has_a_reference_student_that_is_the_same_each_time():
    assert set(FAMILIES) == {family for families in FAMILIES_OF_TASK.values() for family in families}
    for family in FAMILIES:
        (first, items), (second, same) = reference_student(family), reference_student(family)
        assert np.array_equal(first.predict_proba(items[:20]), second.predict_proba(same[:20]))
    with pytest.raises(ModelError, match="no student family 'forest'"):
        reference_student("forest")


def test_a_profile_tells_each_family():
    measured = measure_profile(["mlp", "hashed"])
    assert list(measured["families"]) == ["mlp", "hashed"]
    assert measured["cores"] >= 1
    assert all(0 < entry["p50_ms"] <= entry["p95_ms"] for entry in measured["families"].values())


def test_a_device_is_as_much_slower_as_its_reference_student_was(monkeypatch):
    here = {"static": 0.02, "hashed": 0.1, "mlp": 0.01}
    monkeypatch.setattr(profile, "measure_profile", lambda names: {"families": {n: {"p50_ms": here[n]} for n in names}})
    device = {"families": {"static": {"p50_ms": 0.1}, "mlp": {"p50_ms": 0.03}, "unknown": {"p50_ms": 9.0}}}
    assert slowdown(device, "static") == pytest.approx(5)
    assert slowdown(device, "hashed") == pytest.approx(4)  # not told: the median of the others
    assert slowdown({"families": {"unknown": {"p50_ms": 9.0}}}, "static") == 1.0
