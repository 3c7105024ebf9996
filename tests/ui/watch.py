"""What a test sees of the labeling page: a log kept in the page of each press and what was on screen at it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

# Runs before any script of the page, so its listener hears a key before the surface acts on it.
LOG = """
(() => {
  const find = () => {
    const walk = (node) => {
      for (const element of node.querySelectorAll("*")) {
        if (element.classList.contains("annotator")) return element;
        const inner = element.shadowRoot && walk(element.shadowRoot);
        if (inner) return inner;
      }
      return null;
    };
    return walk(document);
  };
  let surface = null;
  window.pressLog = [];
  window.watchSurface = () => {
    surface = find();
    const card = surface.querySelector(".card");
    const channel = new MessageChannel();
    const waiting = [];
    channel.port1.onmessage = () => { const entry = waiting.shift(); entry.painted = performance.now() - entry.at; };
    new MutationObserver(() => {
      const entry = window.pressLog.at(-1);
      if (!entry || entry.next !== undefined) return;
      entry.next = card.dataset.item ?? null;
      // The frame that shows the change: after its callbacks comes the paint, then this message.
      requestAnimationFrame(() => { waiting.push(entry); channel.port2.postMessage(0); });
    }).observe(card, { attributes: true, attributeFilter: ["data-item"] });
  };
  window.addEventListener("keydown", (event) => {
    if (!surface) return;
    const card = surface.querySelector(".card");
    const text = surface.querySelector(".text");
    const item = card.dataset.item ?? null;
    window.pressLog.push({ key: event.key, item, text: text ? text.textContent : null, at: event.timeStamp });
  }, { capture: true });
})();
"""


def choose(page: Page, label: str, option: str) -> None:
    """Pick from a select box; opens its list again, as a person would, where the page closed it as it settled."""
    box = page.get_by_role("combobox", name=label)
    wanted = page.get_by_role("option", name=option)
    for _ in range(10):
        box.fill("")
        box.fill(option)
        with suppress(PlaywrightTimeout):
            wanted.click(timeout=3_000)
            return
    raise AssertionError(f"{label} does not offer {option}")


def open_labeling(page: Page, url: str, project: str) -> None:
    """Go to the labeling page of a project and wait for the first item; keeps the log from here on."""
    if not getattr(page, "_winnow_log", False):
        page.add_init_script(LOG)
        page._winnow_log = True  # type: ignore[attr-defined]
    page.goto(f"{url}/label?project={project}")
    expect(page.locator(".annotator .card[data-item]")).to_be_visible()
    page.evaluate("watchSurface()")


def press_log(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("pressLog")
    return found


def on_screen(page: Page) -> str:
    """The text on screen."""
    return page.locator(".annotator .text").text_content() or ""


def wait_saved(page: Page) -> None:
    expect(page.locator(".annotator .state")).to_have_text("saved")
