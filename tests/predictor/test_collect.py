"""Collecting inputs that are worth labelling."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from predictor import collect
from predictor.collect import CollectError, Collector, make_sketch, novelty, open_collector
from predictor.source import predict_source
from tests.predictor.bundles import png, text_bundle

POOL = [f"{animal} {number} runs home" for number in range(40) for animal in ("cat", "dog")]


def bundle(task: str = "text", **manifest: Any) -> Any:
    return SimpleNamespace(task=task, manifest={"collect": True, "version": 3, **manifest})


def sure(*confidences: float) -> list[dict[str, float]]:
    return [{"confidence": confidence} for confidence in confidences]


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_words_that_the_pool_does_not_have_are_novel() -> None:
    sketch = json.loads(json.dumps(make_sketch(POOL, "text")))
    alike, half, unlike, empty = novelty(["the home: cat runs", "cat runs zebra quagga", "zebra quagga", ""], sketch)
    assert alike < half < unlike
    assert unlike == pytest.approx(1 / sketch["usual"])
    assert empty == 0
    assert (novelty(POOL, sketch) > 1).mean() <= 0.06
    assert novelty(["猫が走る"], make_sketch(["猫 犬", "が 走 る"] * 10, "text"))[0] == 0


def test_vectors_and_images_far_from_the_pool_are_novel() -> None:
    rng = np.random.default_rng(1)
    for width in (3, 500):
        pool = rng.normal(size=(300, width))
        sketch = json.loads(json.dumps(make_sketch(list(pool), "features")))
        near, far = novelty([pool[3] + 0.01, pool[3] + 50.0], sketch)
        assert near < 1.5
        assert far > 5
        assert (novelty(list(rng.normal(size=(300, width))), sketch) > 1).mean() < 0.2
    greys = make_sketch([png(level) for level in range(100, 120)], "image")
    alike, white, broken = novelty([png(110), png(255), b"no image"], greys)
    assert alike < 1 < white
    assert np.isfinite(broken)
    with pytest.raises(CollectError, match="ten items"):
        make_sketch(["a"] * 9, "text")


def test_the_least_certain_the_most_novel_and_a_uniform_sample_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "seen.jsonl"
    collector = Collector(bundle(), file, most=8, sketch=make_sketch(POOL, "text"))
    items = [f"cat {n} runs home" for n in range(400)] + ["zebra quagga gnu", "cat and dog run"]
    confidences = [0.9 - n / 10_000 for n in range(400)] + [0.99, 0.5]
    for start in range(0, len(items), 100):
        collector.see(items[start : start + 100], sure(*confidences[start : start + 100]))
    collector.save()
    kept = rows(file)
    assert len(kept) <= 8
    by_kind = {kind: [row["text"] for row in kept if row["meta"]["collected"] == kind] for kind in collect._KINDS}
    assert by_kind["uncertain"] == ["cat and dog run", "cat 399 runs home", "cat 398 runs home", "cat 397 runs home"]
    assert "zebra quagga gnu" in by_kind["novel"]
    assert len(by_kind["random"]) == 2
    meta = kept[0]["meta"]
    assert (meta["collected"], meta["confidence"], meta["by"]) == ("uncertain", 0.5, 3)


def test_what_is_kept_does_not_depend_on_restarts_or_repeated_inputs(tmp_path: Path) -> None:
    sketch = make_sketch(POOL, "text")
    rng = np.random.default_rng(3)
    items = [f"item {n} w{n % 7}" for n in range(1500)]
    confidences = rng.random(1500).tolist()
    whole = Collector(bundle(), tmp_path / "whole", most=40, sketch=sketch)
    whole.see(items, sure(*confidences))
    whole.save()
    for start in range(0, 1500, 300):
        part = Collector(bundle(), tmp_path / "parts", most=40, sketch=sketch)
        part.see(items[start : start + 300] * 2, sure(*confidences[start : start + 300] * 2))
        part.save()
    shown = [
        sorted((row["text"], row["meta"]["collected"]) for row in rows(tmp_path / of)) for of in ("whole", "parts")
    ]
    assert shown[0] == shown[1]
    assert len(shown[0]) <= 40
    uniform = [row["text"] for row in rows(tmp_path / "whole") if "random" in str(row["meta"])]
    assert len(uniform) == 10


def test_without_consent_or_over_another_file_nothing_is_collected(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match="without consent"):
        Collector(bundle(collect=False), tmp_path / "x")
    with pytest.raises(CollectError, match="At least 4"):
        Collector(bundle(), tmp_path / "x", most=3)
    with pytest.raises(CollectError, match="cannot be written"):
        Collector(bundle(), tmp_path / "nowhere" / "x")
    mine = tmp_path / "mine.jsonl"
    for content in ('{"text": "my own data"}\n', "plain\n", '{"text": 5, "meta": {"collected": "novel"}}\n'):
        mine.write_text(content)
        with pytest.raises(CollectError, match="nothing is written over it"):
            Collector(bundle(), mine)
        assert mine.read_text() == content


def test_images_and_vectors_are_kept_so_that_they_can_be_imported(tmp_path: Path) -> None:
    for task, item in (("image", png(7)), ("features", np.array([0.5, -1.25], np.float32))):
        file = tmp_path / task
        for _ in range(2):  # the second reads what the first wrote
            collector = Collector(bundle(task), file)
            collector.see([item], sure(0.6))
            collector.save()
        (row,) = rows(file)
        assert base64.b64decode(row["image"]) == item if task == "image" else row["features"] == [0.5, -1.25]
        assert row["meta"]["also"] == ["random"]


def test_a_disk_that_is_full_stops_no_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    collector = open_collector(bundle(), tmp_path, tmp_path / "seen")

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(collect.tempfile, "mkstemp", full)
    collector.note(["a", "b"], [{"confidence": 0.5}, {"error": "unreadable"}])
    collector.note(["c"], sure(0.5))
    assert capsys.readouterr().err.count("Nothing more is collected") == 1


def test_predict_py_collects_only_with_the_flag_and_with_consent(tmp_path: Path) -> None:
    folder = text_bundle(tmp_path / "bundle")
    (folder / "predict.py").write_bytes(predict_source())
    seen = tmp_path / "seen.jsonl"

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        given = '{"text": "cat"}\n{"image": ""}\n{"text": "a zebra"}\n'
        command = [sys.executable, "-I", str(folder / "predict.py"), "--file", "-", *more]
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)

    refused = run("--collect", str(seen))
    assert refused.returncode == 1
    assert "without consent" in refused.stderr
    assert refused.stdout == ""
    shutil.copy(collect.__file__, folder / "collect.py")
    (folder / "novelty.json").write_text(json.dumps(make_sketch(POOL, "text")))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "collect": True}))
    done = run("--collect", str(seen), "--collect-most", "8")
    assert len(done.stdout.splitlines()) == 3
    assert {row["text"] for row in rows(seen)} == {"cat", "a zebra"}
    assert max(row["meta"]["novelty"] for row in rows(seen)) > 1
