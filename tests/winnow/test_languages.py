"""Languages of a pool beside those of its encoder, in words."""

from __future__ import annotations

from typing import Any

import pytest

from winnow.hub_encoders import HubEntry
from winnow.languages import known_languages, language_warning, languages_found


def seen(known: list[str], **found: int) -> dict[str, Any]:
    return {"sample": 500, "items": 5_000, "found": found, "unclear": 500 - sum(found.values()), "known": known}


def test_what_an_encoder_knows_is_what_it_was_trained_on() -> None:
    hub = {"e5": HubEntry(source="/m/e5", languages=["de", "en"]), "other": HubEntry(source="/m/other")}
    names = ("minilm", "hashed", "hf:e5", "hf:other", "hf:gone")
    assert [known_languages(name, hub) for name in names] == [["en"], None, ["de", "en"], None, None]


@pytest.mark.parametrize(
    ("known", "found", "says"),
    [
        (
            ["en"],
            {"de": 415, "en": 40},
            "About 83 % of a sample of 500 texts look German; the encoder minilm was trained on English. Set encoder "
            "to hashed, which reads any language, or to a multilingual one that the operator registered.",
        ),
        (
            ["en", "fr"],
            {"de": 200, "tr": 100, "zh": 30, "fr": 20, "pl": 20},
            "About 40 % of a sample of 500 texts look German, 20 % look Turkish and 10 % are in others that it does "
            "not know; the encoder minilm was trained on English and French. Set encoder to hashed, which reads any "
            "language, or to a multilingual one that the operator registered.",
        ),
        (["en"], {"en": 451, "de": 49}, None),
        (["en", "de"], {"de": 415, "en": 40}, None),
        (["en"], {}, None),
    ],
)
def test_a_tenth_in_languages_that_the_encoder_does_not_know_is_said(
    known: list[str], found: dict[str, int], says: str | None
) -> None:
    assert language_warning(seen(known, **found), "minilm") == says


def test_a_handful_of_texts_warns_of_nothing() -> None:
    few = {"sample": 8, "found": {"de": 4, "en": 4}, "unclear": 0, "known": ["en"]}
    assert language_warning(few, "minilm") is None
    assert language_warning({**few, "found": {"de": 5, "en": 3}}, "minilm") is not None


def test_the_commonest_five_are_shown_with_their_shares() -> None:
    found = languages_found(seen(["en"], de=250, en=100, tr=50, zh=20, ar=10, fr=5))
    assert found["found"][0] == {"language": "de", "name": "German", "share": 0.5}
    assert [entry["language"] for entry in found["found"]] == ["de", "en", "tr", "zh", "ar"]
    assert (found["sample"], found["unclear"], found["known"]) == (500, 65 / 500, ["en"])
