"""What each bad input gets: an answer that says what to do, while the good rows beside it are kept."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import psutil

from bench.annotators import sign_in, wait_job
from bench.scenarios.story import finish, parser, say
from bench.server import RunningServer

GIGABYTE = 1 << 30


@dataclass
class Desk:
    """Where bad input is handed in: the owner, another annotator, and the API's process to watch."""

    owner: httpx.Client
    other: httpx.Client
    other_email: str
    server: RunningServer

    def project(self, task: str = "text") -> str:
        """A new project with the classes a and b."""
        body = {"name": "bad input", "task": task, "labels": ["a", "b"], "settings": {"encoder": "auto"}}
        made = str(self.owner.post("/v1/projects", json=body).raise_for_status().json()["id"])
        member = {"email": self.other_email, "role": "annotator"}
        self.owner.post(f"/v1/projects/{made}/members", json=member).raise_for_status()
        return made

    def upload(self, name: str, content: Any, task: str = "text") -> tuple[str, bool]:
        """What an import of ``content`` gets, in words, and whether the service took it as it should."""
        answer = self.owner.post(
            f"/v1/projects/{self.project(task)}/imports",
            files={"file": (name, content, "application/octet-stream")},
            timeout=600,
        )
        if answer.status_code != 202:
            return _said(answer), 400 <= answer.status_code < 500
        job = wait_job(self.owner, answer.json())
        if job["state"] != "succeeded":
            return f"job failed: {(job['error'] or {}).get('detail')}", bool((job["error"] or {}).get("detail"))
        result = job["result"]
        errors = "; ".join(f"line {error['line']}: {error['reason']}" for error in result["errors"][:3])
        return f"{result['created']} created, {result['rejected']} rejected: {errors}", True


Case = Callable[[Desk], tuple[str, bool]]


def main() -> None:
    """Hand in everything, and print what each got."""
    options = parser(__doc__)
    options.add_argument("--line-bytes", type=int, default=GIGABYTE, help="length of the one long line")
    given = options.parse_args()
    cases: dict[str, Case] = {
        "a CSV with a broken row in the middle": _broken_csv,
        "a non-image in the ZIP": _broken_zip,
        "a path that climbs out of the ZIP": _climbing_zip,
        "an empty file": lambda desk: desk.upload("empty.csv", b""),
        "a file of another kind": lambda desk: desk.upload("notes.pdf", b"%PDF-1.7\n\x00\x01\x02"),
        "an array that would be unpickled": _pickled_npz,
        f"{given.line_bytes:,} bytes of one line": lambda desk: _long_line(desk, given.line_bytes),
        "a label that the project has not": _unknown_label,
        "a lease of somebody else": _foreign_lease,
        "markup in an item": _markup,
        "an image that is none": _no_image,
        "JSON that is none": _no_json,
    }
    rows = []
    with RunningServer() as server, sign_in(server.url, server.email, server.password) as owner:
        made = owner.post("/v1/users", json={"email": "other@example.org", "role": "member"}).raise_for_status().json()
        with sign_in(server.url, "other@example.org", made["password"]) as other:
            desk = Desk(owner, other, "other@example.org", server)
            for name, case in cases.items():
                got, well = case(desk)
                rows.append({"input": name, "gets": got, "as it should": "yes" if well else "NO"})
                say(f"{name}: {got}")
        alive = owner.get("/healthz").status_code == 200
    demands = {
        "each got what it should": all(row["as it should"] == "yes" for row in rows),
        "the service lives": alive,
    }
    finish({"cases": rows}, given.json, demands)


def _broken_csv(desk: Desk) -> tuple[str, bool]:
    rows = [f"text number {n},{'ab'[n % 2]}" for n in range(100)]
    rows[50] = 'a row with, far, too, many "cells'
    got, well = desk.upload("rows.csv", ("text,label\n" + "\n".join(rows) + "\n").encode())
    return got, well and got.startswith("99 created, 1 rejected: line 52")


def _broken_zip(desk: Desk) -> tuple[str, bool]:
    got, well = desk.upload(
        "pictures.zip", _zip({"a/1.png": _png(10), "b/2.png": b"no image", "b/3.png": _png(20)}), "image"
    )
    return got, well and got.startswith("2 created, 1 rejected")


def _climbing_zip(desk: Desk) -> tuple[str, bool]:
    got, well = desk.upload("pictures.zip", _zip({"../../a/1.png": _png(30), "a/2.png": _png(40)}), "image")
    return got, well and not (desk.server.data.parent / "a").exists()


def _pickled_npz(desk: Desk) -> tuple[str, bool]:
    out = io.BytesIO()
    np.savez(out, X=np.array([[object()]], dtype=object))
    got, well = desk.upload("rows.npz", out.getvalue(), "features")
    return got, well and not got.startswith("1 created")


def _long_line(desk: Desk, n_bytes: int) -> tuple[str, bool]:
    api, worker = desk.server.part("api"), desk.server.part("worker")
    before = _resident(api, worker)
    got, well = desk.upload("long.csv", LongLine(n_bytes))
    grown = (_resident(api, worker) - before) / 1e6
    return f"{got[:200]} (memory grew by {grown:.0f} MB)", well and grown < 300


class LongLine(io.RawIOBase):
    """A file of one line, made while it is read."""

    def __init__(self, n_bytes: int) -> None:
        self._left = self._size = n_bytes

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        n = self._left if size < 0 else min(size, self._left)
        self._left -= n
        return b"x" * n

    def seek(self, offset: int, whence: int = 0) -> int:
        """Only to the ends, which is how an upload finds the length."""
        self._left = 0 if whence == 2 else self._size - offset
        return self._size - self._left

    def tell(self) -> int:
        """Where it stands."""
        return self._size - self._left

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True


def _unknown_label(desk: Desk) -> tuple[str, bool]:
    project, items = _items(desk, ["one", "two"])
    labels = [{"item": items[0]["id"], "label": "c"}, {"item": items[1]["id"], "label": "a"}]
    answer = desk.owner.post(f"/v1/projects/{project}/labels", json={"labels": labels})
    return _took(answer, accepted=1, rejected=1)


def _foreign_lease(desk: Desk) -> tuple[str, bool]:
    project, items = _items(desk, ["one", "two"])
    labels = [{"item": items[0]["id"], "label": "a", "lease": items[0]["lease"]["id"]}]
    return _took(desk.other.post(f"/v1/projects/{project}/labels", json={"labels": labels}), accepted=0, rejected=1)


def _markup(desk: Desk) -> tuple[str, bool]:
    text = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    project, items = _items(desk, [text])
    content = desk.owner.get(f"/v1/projects/{project}/items/{items[0]['id']}/content")
    kind, guard = content.headers["content-type"], content.headers.get("x-content-type-options")
    kept = items[0]["text"] == text and content.text == text
    return f"kept as it is: {kept}; served as {kind}, {guard}", kept and "html" not in kind and guard == "nosniff"


def _no_image(desk: Desk) -> tuple[str, bool]:
    project = desk.project("image")
    items = [{"image": base64.b64encode(b"no image").decode()}, {"image": "%%%"}, {"image": "file:///etc/passwd"}]
    answer = desk.owner.post(f"/v1/projects/{project}/items", json={"items": items})
    body = answer.json()
    return f"{answer.status_code}: {json.dumps(body)[:300]}", answer.status_code == 201 and len(body["rejected"]) == 3


def _no_json(desk: Desk) -> tuple[str, bool]:
    answer = desk.owner.post("/v1/projects", content=b'{"name": ', headers={"content-type": "application/json"})
    return _said(answer), answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"


def _items(desk: Desk, texts: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """A project with these texts, all in the owner's hands."""
    project = desk.project()
    body = {"items": [{"text": text} for text in texts]}
    desk.owner.post(f"/v1/projects/{project}/items", json=body).raise_for_status()
    batch = desk.owner.post(f"/v1/projects/{project}/batches", json={"size": 10}).raise_for_status().json()
    return project, batch["items"]


def _took(answer: httpx.Response, *, accepted: int, rejected: int) -> tuple[str, bool]:
    body = answer.json()
    if answer.status_code != 201:
        return _said(answer), False
    got = f"201: {len(body['accepted'])} accepted, rejected: {'; '.join(row['reason'] for row in body['rejected'])}"
    return got, (len(body["accepted"]), len(body["rejected"])) == (accepted, rejected)


def _said(answer: httpx.Response) -> str:
    return f"{answer.status_code}: {answer.json().get('detail')}"


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def _png(shade: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("L", (12, 12), shade).save(out, "PNG")
    return out.getvalue()


def _resident(*processes: psutil.Process) -> int:
    family = [member for process in processes for member in (process, *process.children(recursive=True))]
    return sum(int(member.memory_info().rss) for member in family)


if __name__ == "__main__":
    main()
