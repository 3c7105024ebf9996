"""Which languages texts are in."""

from models.languages import count_languages

TEXTS = {
    "en": ["When does my new card arrive?", "I was charged twice for one payment", "THE MACHINE HAS TAKEN MY CARD"],
    "de": ["Wann kommt meine neue Karte an?", "Ich wurde zweimal für eine Zahlung belastet"],
    "tr": ["Kartım çalışmıyor, yardım edin"],
    "zh": ["我的卡不能用了"],
    "ar": ["متى تصل بطاقتي الجديدة؟"],
}
UNCLEAR = ["", "ok", "12345 678", "REF-221/A 12 mm", "😀😀😀", "\ud800 \ud800"]


def test_each_text_counts_for_the_language_of_its_beginning_and_codes_for_none() -> None:
    texts = [text for some in TEXTS.values() for text in some]
    long = TEXTS["en"][0] + " " * 2_000 + " ".join(TEXTS["de"] * 50)
    found, unclear = count_languages([*UNCLEAR, *texts, long])
    assert list(found.items()) == [("en", 4), ("de", 2), ("ar", 1), ("tr", 1), ("zh", 1)]
    assert unclear == len(UNCLEAR)
