"""What is truncated, corrupted, huge or hostile is refused by name, in bounded time and memory."""

from pathlib import Path

import pytest

from bench.scenarios.bad_bundles.__main__ import MEGABYTES, demands, line_of, told, try_case, write_table
from bench.scenarios.bad_bundles.cases import CASES
from models.errors import CorruptModel, UnusableModel
from predictor import BundleError

PAGE = (Path(__file__).parents[2] / "docs/bundles.md").read_text("utf-8")
TABLE = PAGE.partition("<!-- cases -->")[2].partition("<!-- end of cases -->")[0].strip().splitlines()[2:]
WHO = {"weights": CorruptModel, "`stud": CorruptModel, "an enco": UnusableModel}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_the_reason_that_the_page_tells(name, tmp_path):
    kind = next((error for start, error in WHO.items() if name.startswith(start)), BundleError)
    use = CASES[name](tmp_path)
    with pytest.raises(kind) as refused:
        use()
    assert line_of(name, kind.__name__, told(refused.value, tmp_path)) in TABLE


def test_the_page_tells_of_these_cases_and_no_others():
    assert [line.split(" | ")[0].removeprefix("| ") for line in TABLE] == list(CASES)


@pytest.mark.parametrize("name", [name for name in CASES if "40 GB" in name or "8 GB" in name])
def test_what_is_huge_takes_neither_memory_nor_time(name):
    row = try_case(name)
    assert row["megabytes"] < MEGABYTES / 6
    assert all(demands([row]).values())


def test_what_is_taken_without_a_word_is_told(monkeypatch):
    monkeypatch.setitem(CASES, "nothing wrong", lambda folder: lambda: None)
    row = try_case("nothing wrong")
    assert (row["error"], row["gets"]) == ("none", "taken without a word")
    assert demands([row])["each is refused by name"] is False


def test_the_table_of_the_page_is_written_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- cases -->\nold\n<!-- end of cases -->\nafter\n")
    write_table(page, [{"input": "a pipe", "error": "BundleError", "gets": "no | <b>. Unpack the whole bundle again."}])
    assert page.read_text().splitlines()[3:5] == ["|---|---|", "| a pipe | `BundleError`: no \\| &lt;b>. |"]
