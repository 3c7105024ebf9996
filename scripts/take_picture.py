"""Take the picture of the labeling page that the README shows.

Starts a server in a temporary folder, makes a project of the mails of a bicycle shop that does not exist, labels for a
few rounds, and photographs the first item that the model has something to say about. Needs Chromium::

    .venv/bin/python scripts/take_picture.py --out docs/images/label.png
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from client import Client, Project

ROOT = Path(__file__).resolve().parent.parent
OWNER = "kim@example.org"
START_SECONDS = 60.0
ROUNDS = 4
N_MAILS = 240
OPENINGS = [
    "Hello,", "Good morning,", "Hi there,", "Dear team,", "Hello Kim,", "Good evening,",
    "Hi, it is Jo from the rowing club.", "Dear bicycle people,",
]  # fmt: skip
BODIES = {
    "order": [
        "I would like two of the grey panniers that you had in the window on Saturday. Can you send them?",
        "please put a 28-inch tyre with a reflecting side aside for me, I will come by on Thursday.",
        "do you still have the blue touring frame in size 54? If so, I take it.",
        "could you get me a dynamo lamp with a daylight sensor? There is no hurry.",
        "we need six helmets for children, in any colour but pink, before the school trip in May.",
        "one of those brass bells, please, and a bottle of chain oil to go with it.",
    ],
    "repair": [
        "my rear wheel has had a wobble since I met a kerb on Monday. When could you look at it?",
        "the chain jumps on the three smallest sprockets as soon as I stand up. Is it worn out?",
        "the front brake squeals so loudly that the dogs in our street answer. Can I leave the bicycle with you?",
        "the gears have stopped shifting below five. I can bring it round at noon.",
        "my daughter's bicycle needs a new tube, and the saddle no longer stays up.",
        "something clicks in the bottom bracket with every turn, but only uphill.",
    ],
    "complaint": [
        "the lamp that I bought three weeks ago went dark yesterday, in the rain, in a tunnel.",
        "you charged me for two tubes, and there was one in the wheel. I have the receipt here.",
        "I waited an hour on Friday although we had said four o'clock. That was not what I hoped for.",
        "the brake that you set last week rubs again. I would rather not pay for it a second time.",
        "the panniers came with one hook missing, and nobody has answered my last two letters.",
        "the mudguard that you fitted rattles worse than the old one did.",
    ],
    "praise": [
        "it runs like new, and you even cleaned it. Thank you, I will tell everybody.",
        "thank you for staying open ten minutes longer for me. That saved our whole weekend.",
        "I have never shifted so quietly in my life. What a pleasure!",
        "my son now rides without the small wheels, thanks to your patience with his saddle.",
        "the tour was wonderful, and your map with the bakeries was the best part of it.",
        "just a word to say that the wheel you built has held for two thousand kilometres.",
    ],
}
CLOSINGS = ["", "\n\nBest wishes, Robin", "\n\nYours, Alex Brook", "\n\nThank you, Toni", "\n\nSee you soon, Mo"]


def mails() -> dict[str, str]:
    """Texts and what they are about, in a seeded random order."""
    all_of_them = {
        f"{opening}\n{body[0].upper()}{body[1:]}{closing}": label
        for label, bodies in BODIES.items()
        for opening, body, closing in product(OPENINGS, bodies, CLOSINGS)
    }
    chosen = random.Random(7).sample(sorted(all_of_them), N_MAILS)
    return {text: all_of_them[text] for text in chosen}


@contextmanager
def server(folder: Path, password: str) -> Iterator[tuple[str, str]]:
    """The addresses of the API and of the pages of a server that ends with the block."""
    environ = {**os.environ, "WINNOW_OWNER_EMAIL": OWNER, "WINNOW_OWNER_PASSWORD": password}
    command = [sys.executable, "-m", "cli.main", "serve", "--port", "0", "--ui-port", "0", "--data", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "serve.json").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The server did not start.")
            time.sleep(0.2)
        said = json.loads((folder / "serve.json").read_text())
        yield said["url"], said["ui_url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def label_some_rounds(client: Client, truth: dict[str, str]) -> Project:
    """A project of the mails, after some rounds."""
    project = client.create_project("Bicycle shop", "text", list(BODIES))
    client.add_items(project.id, [{"text": text} for text in truth])
    for _ in range(ROUNDS):
        batch = client.batch(project.id, 12)
        client.send_labels(project.id, [{"item": item["id"], "label": truth[item["text"]]} for item in batch.items])
        client.wait_job(client.start_round(project.id).id)
    return project


def photograph(page: Page, url: str, project: Project, password: str, truth: dict[str, str], out: Path) -> None:
    """Sign in and label until the model says something about the item on screen; then take the picture."""
    page.goto(f"{url}/label?project={project.id}")
    page.get_by_label("E-mail").fill(OWNER)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    shown = page.locator(".annotator .text")
    behind = page.get_by_text("behind")
    for n_labeled in range(40):
        expect(shown).to_be_visible()
        if n_labeled >= 5 and page.locator(".annotator .guess").text_content() and behind.is_visible():
            break
        text = shown.text_content() or ""
        page.get_by_role("group", name="Labels").get_by_role("button", name=truth[text]).click()
        expect(shown).not_to_have_text(text)
        page.wait_for_timeout(900)  # a person's pace: the page asks how things stand every few seconds
    expect(page.locator(".annotator .state")).to_have_text("saved")
    page.mouse.move(1270, 630)
    page.screenshot(path=out)


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "label.png")
    out = parser.parse_args().out
    chromium = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if chromium is None:
        raise SystemExit("Chromium is missing (apt-get install chromium).")
    truth, password = mails(), secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), password) as (api, pages):
        with Client(api) as client:
            client.sign_in(OWNER, password)
            project = label_some_rounds(client, truth)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 640}, color_scheme="light")
            photograph(page, pages, project, password, truth, out)
            browser.close()
    print(out)


if __name__ == "__main__":
    main()
