"""Bundles: paths and names."""

from __future__ import annotations

import pytest

from winnow import exports
from winnow.db.tables import Job


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("AG News", "ag-news"),
        ("Näh-Maschinen & Co.", "nah-maschinen-co"),
        ("../../etc/passwd", "etc-passwd"),
        ("日本語", "project"),
        ('a"b\r\nc', "a-b-c"),
        ("x" * 200, "x" * 60),
    ],
)
def test_names_of_files_are_plain(name: str, slug: str) -> None:
    assert exports.name_of(name, 3, "onnx-int8") == f"student-{slug}-v3-onnx-int8.zip"


def test_a_bundle_lies_under_its_attempt() -> None:
    job = Job(id=7, project_id=2, attempt=3, payload={"version": 1, "format": "onnx"})
    assert exports.bundle_path(job) == "projects/2/exports/7-3/bundle.zip"
    assert exports.bundle_name("a", job) == "student-a-v1-onnx.zip"
