"""Languages of a pool's texts beside those that its encoder knows, as values and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from winnow.hub_encoders import PREFIX, HubEntry

SAMPLE = 500
"""So many texts are looked at."""
WARN_SHARE = 0.1
"""Warned is where this share of them is in a language that the encoder does not know."""
_LEAST_TEXTS = 5
_SHOWN = 5
_KNOWN = {"minilm": ("en",)}
"""What our encoders were trained on; those that are not here read any language as well as any other."""


def known_languages(encoder: str, hub: Mapping[str, HubEntry]) -> list[str] | None:
    """Codes (ISO 639) of the languages that an encoder was trained on; None for any, and where nobody said."""
    if encoder.startswith(PREFIX):
        entry = hub.get(encoder.removeprefix(PREFIX))
        return list(entry.languages) if entry is not None and entry.languages is not None else None
    return list(_KNOWN[encoder]) if encoder in _KNOWN else None


def languages_found(seen: Mapping[str, Any]) -> dict[str, Any]:
    """What a look at a sample found (`worker.pool_languages`), for the statistics.

    Returns:
        ``sample`` (how many texts), ``found`` (the commonest languages, each ``{language, name, share}``), ``unclear``
        (the share of texts that are too short or in no language) and ``known`` (codes).
    """
    n = max(1, int(seen["sample"]))
    found = [
        {"language": code, "name": language_name(code), "share": count / n}
        for code, count in list(seen["found"].items())[:_SHOWN]
    ]
    return {"sample": seen["sample"], "found": found, "unclear": seen["unclear"] / n, "known": seen["known"]}


def language_warning(seen: Mapping[str, Any], encoder: str) -> str | None:
    """A sentence where many of a sample's texts are in languages that the encoder was not trained on, else None."""
    foreign = {code: count for code, count in seen["found"].items() if code not in seen["known"]}
    total = sum(foreign.values())
    if total < max(_LEAST_TEXTS, WARN_SHARE * seen["sample"]):
        return None
    commonest = list(foreign)[:2]
    parts = [f"{_percent(foreign[code] / seen['sample'])} look {language_name(code)}" for code in commonest]
    if rest := total - sum(foreign[code] for code in commonest):
        parts.append(f"{_percent(rest / seen['sample'])} are in others that it does not know")
    said = parts[0].replace(" look", f" of a sample of {seen['sample']} texts look")
    return (
        f"About {_joined([said, *parts[1:]])}; the encoder {encoder} was trained on "
        f"{_joined([language_name(code) for code in seen['known']])}. Set encoder to hashed, which reads any language, "
        "or to a multilingual one that the operator registered."
    )


def language_name(code: str) -> str:
    """The English name of a language, else its code.

    >>> language_name("de"), language_name("qqq")
    ('German', 'qqq')
    """
    return _NAMES.get(code, code)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


_TABLE = """
ace=Acehnese|af=Afrikaans|am=Amharic|an=Aragonese|ar=Arabic|ary=Moroccan Arabic|arz=Egyptian Arabic|
as=Assamese|az=Azerbaijani|ba=Bashkir|bcl=Central Bikol|be=Belarusian|bg=Bulgarian|bn=Bengali|br=Breton|
bs=Bosnian|ca=Catalan|crh=Crimean Tatar|cs=Czech|cy=Welsh|da=Danish|de=German|dz=Dzongkha|el=Greek|en=English|
eo=Esperanto|es=Spanish|et=Estonian|eu=Basque|ext=Extremaduran|fa=Persian|fi=Finnish|fo=Faroese|fr=French|
fuv=Fulfulde|fy=Western Frisian|ga=Irish|gcf=Guadeloupean Creole|gcr=Guianese Creole|gd=Scottish Gaelic|
gl=Galician|gom=Konkani|grc=Ancient Greek|gu=Gujarati|gug=Guarani|guw=Gun|ha=Hausa|hbo=Biblical Hebrew|
he=Hebrew|hi=Hindi|hr=Croatian|ht=Haitian Creole|hu=Hungarian|hy=Armenian|id=Indonesian|ig=Igbo|is=Icelandic|
it=Italian|ja=Japanese|jv=Javanese|ka=Georgian|kab=Kabyle|kik=Kikuyu|kk=Kazakh|km=Khmer|kn=Kannada|ko=Korean|
ku=Kurdish|ky=Kyrgyz|la=Latin|lb=Luxembourgish|lg=Ganda|lij=Ligurian|ln=Lingala|lo=Lao|lt=Lithuanian|
ltg=Latgalian|lv=Latvian|mg=Malagasy|mk=Macedonian|ml=Malayalam|mn=Mongolian|mr=Marathi|ms=Malay|mt=Maltese|
my=Burmese|ne=Nepali|nl=Dutch|nn=Norwegian Nynorsk|no=Norwegian|nso=Northern Sotho|oc=Occitan|om=Oromo|
or=Odia|pa=Punjabi|pcm=Nigerian Pidgin|pl=Polish|ps=Pashto|pt=Portuguese|qu=Quechua|ro=Romanian|ru=Russian|
rw=Kinyarwanda|sa=Sanskrit|sdh=Southern Kurdish|se=Northern Sami|si=Sinhala|sk=Slovak|sl=Slovenian|sn=Shona|
so=Somali|sq=Albanian|sr=Serbian|st=Southern Sotho|sv=Swedish|sw=Swahili|ta=Tamil|te=Telugu|tg=Tajik|th=Thai|
tk=Turkmen|tl=Tagalog|tr=Turkish|tt=Tatar|ug=Uyghur|uk=Ukrainian|ur=Urdu|uz=Uzbek|uzs=Southern Uzbek|
vec=Venetian|vi=Vietnamese|vo=Volapük|wa=Walloon|wuu=Wu Chinese|xh=Xhosa|yo=Yoruba|yue=Cantonese|zh=Chinese|
zu=Zulu
"""
_NAMES = dict(entry.split("=") for entry in _TABLE.replace("\n", "").split("|"))
