"""The published network itself, once: what cascades take where nobody compressed anything."""

import pytest

from models.compression import minilm
from models.compression.compact import text_pieces
from models.compression.network import EncoderNetwork, embed

TEXTS = [
    "The bank charged me twice for one payment.",
    "Our teacher lost the final by a single goal.",
    "A small company reported higher profits, but shares fell 3.5%.",
    "How do I reset a forgotten password?",
    "Straße, München und Köln",
    "",
]


def test_with_the_words_of_a_pool_it_gives_what_the_whole_gives_at_a_fifth_of_the_size(monkeypatch: pytest.MonkeyPatch):
    loaded = minilm.load_minilm()
    monkeypatch.setattr(minilm, "load_minilm", lambda: loaded)
    weights, tokenizer = loaded
    compact = minilm.compact_minilm(TEXTS)
    network = compact.network()
    whole = embed(EncoderNetwork(weights), text_pieces(tokenizer, TEXTS))
    cosines = (network.run(TEXTS) * whole).sum(1)
    assert cosines.mean() > 0.985
    assert cosines.min() > 0.97
    size = len(compact.model) + len(compact.tokenizer.encode())
    assert size < sum(value.nbytes for value in weights.values()) / 5
    unseen = ["The children planted three apple trees in the garden."]
    there = embed(EncoderNetwork(weights), text_pieces(tokenizer, unseen))
    assert (network.run(unseen) * there).sum() > 0.9
