"""The whole loop by the ways that a user has: the README's lines, and the command line."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.annotators import wait_job

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def token(owner):
    return owner.post("/v1/tokens", json={"name": "scenario"}).raise_for_status().json()["token"]


@pytest.fixture
def winnow(server, token, tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "WINNOW_URL": server.url, "WINNOW_TOKEN": token},
            timeout=120,
            check=False,
        )

    return run


def test_the_walk_through_of_the_readme_runs_and_ends_with_a_bundle_that_predicts(server, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    lines = re.search(r"<!-- walk-through -->\n```sh\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert lines is not None
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines.group(1)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "API": server.url, "EMAIL": server.email, "PASSWORD": server.password},
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "spam"
    zipfile.ZipFile(tmp_path / "student.zip").extractall(tmp_path / "student")
    said = subprocess.run(
        [sys.executable, "predict.py", "win a prize", "lunch with the team"],
        capture_output=True,
        text=True,
        cwd=tmp_path / "student",
        timeout=60,
        check=True,
    )
    assert [json.loads(line)["label"] for line in said.stdout.splitlines()] == ["spam", "ham"]


@pytest.fixture(scope="module")
def project(owner):
    body = {"name": "fruit", "task": "text", "labels": ["apple", "pear"], "settings": {"encoder": "hashed"}}
    return owner.post("/v1/projects", json=body).raise_for_status().json()["id"]


@pytest.fixture(scope="module")
def csv_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("files") / "fruit.csv"
    rows = [f"{'red apple' if n % 2 else 'green pear'} number {n},{('pear', 'apple')[n % 2]}" for n in range(60)]
    file.write_text("text,label\n" + "\n".join([*rows[:30], '"broken,row,with,cells', *rows[30:]]) + "\n")
    return file


def test_a_file_is_imported_by_the_project_s_name_and_its_bad_row_is_named(winnow, project, csv_file):
    first = winnow("import", "fruit", str(csv_file), "--json")
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert (result["created"], result["rejected"]) == (60, 1)
    assert result["errors"][0]["line"] == 32
    again = winnow("import", project, str(csv_file))
    assert again.stdout == "0 created, 60 duplicates, 1 rejected\n"
    assert "line 32" in again.stderr


def test_labels_come_out_as_a_file_and_on_stdout(winnow, project, csv_file, tmp_path):
    winnow("import", project, str(csv_file))
    shown = winnow("export-labels", project)
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(rows) == 60
    assert {row["source"] for row in rows} == {"import"}
    out = tmp_path / "labels.csv"
    written = winnow("export-labels", project, "--format", "csv", "--out", str(out), "--json")
    assert json.loads(written.stdout) == {"out": str(out), "bytes": out.stat().st_size}
    assert len(out.read_text().splitlines()) == 61
    out = tmp_path / "labels.parquet"
    assert winnow("export-labels", project, "--format", "parquet", "--out", str(out)).returncode == 0
    columns = pq.ParquetFile(out).read(columns=["id", "label"], use_threads=False).to_pydict()
    assert columns == {name: [row[name] for row in rows] for name in ("id", "label")}


def test_a_student_comes_out_as_a_bundle(winnow, owner, project, csv_file, tmp_path):
    winnow("import", project, str(csv_file))
    job = owner.post(f"/v1/projects/{project}/rounds").raise_for_status().json()
    assert wait_job(owner, job)["result"]["state"] == "trained"
    out = tmp_path / "student.zip"
    done = winnow("export-student", project, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == out.stat().st_size
    names = zipfile.ZipFile(io.BytesIO(out.read_bytes())).namelist()
    assert {"model.onnx", "labels.json", "predict.py", "requirements.txt", "README.md", "manifest.json"} <= set(names)


def test_there_is_no_bundle_before_there_is_a_student(winnow, owner, tmp_path):
    body = {"name": "untouched", "task": "text", "labels": ["a", "b"]}
    owner.post("/v1/projects", json=body).raise_for_status()
    none_yet = winnow("export-student", "untouched", "--out", str(tmp_path / "student.zip"))
    assert none_yet.returncode == 1
    assert none_yet.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_project_that_is_not_there_is_said_with_those_that_are(winnow, project):
    answer = winnow("export-labels", "vegetables")
    assert answer.returncode == 1
    assert "'vegetables'" in answer.stderr
    assert "fruit" in answer.stderr


def test_a_student_is_used_on_the_whole_pool_from_the_command_line(winnow, owner, tmp_path):
    body = {"name": "used", "task": "text", "labels": ["apple", "pear"], "settings": {"encoder": "hashed"}}
    used = owner.post("/v1/projects", json=body).raise_for_status().json()["id"]
    texts = [f"{('red apple', 'green pear')[n % 2]} piece {n}" for n in range(200)]
    rows = [{"text": text, "label": text.split()[1], "split": "test"} for text in texts[:120]]
    rows += [{"text": text, "label": text.split()[1]} for text in texts[120:160]] + [{"text": t} for t in texts[160:]]
    owner.post(f"/v1/projects/{used}/items", json={"items": rows}).raise_for_status()
    job = owner.post(f"/v1/projects/{used}/rounds").raise_for_status().json()
    assert wait_job(owner, job)["result"]["state"] == "trained"

    out = tmp_path / "pool.csv"
    written = winnow("predict", "used", "--format", "csv", "--out", str(out), "--json")
    assert json.loads(written.stdout) == {"out": str(out), "lines": 81}, written.stderr
    pool = [json.loads(line) for line in winnow("predict", used).stdout.splitlines()]
    assert [row["source"] for row in pool] == ["human"] * 40 + ["model"] * 40

    seen = winnow("label-rest", "used")
    assert seen.stdout.startswith("40 labels would be accepted (100.0% of what is left)"), seen.stdout + seen.stderr
    run = json.loads(winnow("label-rest", "used", "--apply", "--json").stdout)
    assert (run["accepted"], run["dry_run"]) == (40, False)
    assert winnow("label-rest", "used", "--undo", run["run"]).stdout == "40 labels taken back\n"
    refused = winnow("label-rest", "used", "--undo", "999999")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert winnow("label-rest", "used", "--apply", "--undo", run["run"]).returncode == 2
