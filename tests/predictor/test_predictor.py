"""Loading a bundle and predicting with it."""

import json
import threading

import numpy as np
import pytest

from predictor import BundleError, ItemError, hashing, load, readers, runtime
from tests.predictor.bundles import image_bundle, png, text_bundle, vector_bundle


def test_a_prediction_has_label_confidence_and_all_probabilities(tmp_path):
    (prediction,) = load(text_bundle(tmp_path)).predict(["Cat!"])
    odds = np.exp(4.5)
    assert prediction == {
        "label": "cat",
        "confidence": pytest.approx(odds / (odds + 1), abs=1e-6),
        "probabilities": {
            "cat": pytest.approx(odds / (odds + 1), abs=1e-6),
            "dog": pytest.approx(1 / (odds + 1), abs=1e-6),
        },
    }


def test_rows_of_a_file_are_items_too(tmp_path):
    predictor = load(text_bundle(tmp_path))
    assert predictor.predict([{"text": "Cat!"}, {"text": "dog"}]) == predictor.predict(["Cat!", "dog"])
    with pytest.raises(ItemError, match="item 1"):
        predictor.predict([{"text": "Cat!"}, {"image": "…"}])


def test_a_text_without_words_gets_the_bias(tmp_path):
    predictor = load(text_bundle(tmp_path))
    expected = 1 / (1 + np.exp(-0.5))
    assert [p["confidence"] for p in predictor.predict(["", "?"])] == pytest.approx([expected] * 2, abs=1e-6)


def test_words_and_pairs_are_averaged(tmp_path):
    # "dog x" has two words and one pair: 4 / 3 for dog against the bias of 1 / 2 for cat.
    (prediction,) = load(text_bundle(tmp_path)).predict(["dog x"])
    assert prediction["probabilities"]["dog"] == pytest.approx(1 / (1 + np.exp(0.5 - 4 / 3)), abs=1e-6)


def test_nothing_in_nothing_out(tmp_path):
    assert load(text_bundle(tmp_path)).predict([]) == []


def test_the_order_of_items_is_kept_over_lengths_batches_and_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "_CHUNK", 100)
    monkeypatch.setattr(readers, "_CELLS", 64)
    predictor = load(text_bundle(tmp_path))
    rng = np.random.default_rng(0)
    texts = [" ".join(["dog" if i % 3 else "cat"] * int(rng.integers(1, 30))) for i in range(333)]
    assert [p["label"] for p in predictor.predict(texts)] == ["dog" if i % 3 else "cat" for i in range(333)]


def test_items_do_not_influence_each_other(tmp_path):
    predictor = load(text_bundle(tmp_path))
    texts = ["cat", "dog " * 400, "", "a dog and a cat", "İ ß 我 😀"]
    together = predictor.predict_proba(texts)
    alone = np.concatenate([predictor.predict_proba([text]) for text in texts])
    assert together == pytest.approx(alone, abs=1e-6)


def test_77_classes_come_in_the_order_of_labels_json(tmp_path):
    classes = [f"class{i}" for i in range(77)]
    predictions = load(text_bundle(tmp_path, classes)).predict(classes[::-1])
    assert [p["label"] for p in predictions] == classes[::-1]
    assert list(predictions[0]["probabilities"]) == classes
    assert sum(predictions[0]["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_features_are_lists_or_arrays(tmp_path):
    predictor = load(vector_bundle(tmp_path))
    assert [p["label"] for p in predictor.predict([[2, 1], np.array([1.0, 3.0])])] == ["x", "y"]


def test_images_of_any_size_and_mode_are_brought_to_the_bundle_s(tmp_path):
    predictor = load(image_bundle(tmp_path))
    items = [png(20), png(230), png(230, size=50), png(20, mode="RGB")]
    assert [p["label"] for p in predictor.predict(items)] == ["dark", "light", "light", "dark"]


@pytest.mark.parametrize(
    ("make", "items", "index", "reason"),
    [
        (text_bundle, ["a", 3], 1, "reads texts, not int"),
        (text_bundle, [b"a"], 0, "reads texts, not bytes"),
        (vector_bundle, [[1, 2], [1, 2, 3]], 1, "2 numbers are needed"),
        (vector_bundle, [["a", "b"]], 0, "lists of numbers"),
        (vector_bundle, [[1, float("inf")]], 0, "NaN or infinity"),
        (vector_bundle, ["text"], 0, "lists of numbers"),
        (image_bundle, [png(1), b"GIF89a"], 1, "not a readable image"),
        (image_bundle, ["path.png"], 0, "encoded images"),
    ],
)
def test_a_bad_item_is_named_with_its_place(make, items, index, reason, tmp_path):
    with pytest.raises(ItemError, match=reason) as caught:
        load(make(tmp_path)).predict(items)
    assert caught.value.index == index


def test_the_place_of_a_bad_item_counts_over_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "_CHUNK", 2)
    with pytest.raises(ItemError) as caught:
        load(text_bundle(tmp_path)).predict(["a", "b", "c", 4])
    assert caught.value.index == 3


def test_a_damaged_model_is_refused_by_its_checksum(tmp_path):
    text_bundle(tmp_path)
    model = tmp_path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-7])
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        load(tmp_path)


def test_a_model_that_is_none_is_refused(tmp_path):
    text_bundle(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no graph at all")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["sha256"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="no ONNX graph"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "labels.json", "manifest.json"])
def test_a_missing_file_is_named(name, tmp_path):
    text_bundle(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=f"{name} cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.json", '["only one"]', "damaged"),
        ("labels.json", "[", "is not JSON"),
        ("manifest.json", '{"format": 2}', "not of format 1"),
        ("manifest.json", "[]", "not of format 1"),
        ("manifest.json", '{"format": 1, "task": "sound"}', "reads 'sound' items"),
    ],
)
def test_files_that_do_not_fit_are_refused(name, content, message, tmp_path):
    text_bundle(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(BundleError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(("make", "missing"), [(text_bundle, "rows"), (image_bundle, "mode, size, mean, std")])
def test_a_bundle_that_does_not_say_how_to_prepare_items_is_refused(make, missing, tmp_path):
    make(tmp_path)
    (tmp_path / "preprocess.json").unlink()
    with pytest.raises(BundleError, match=f"does not say {missing}"):
        load(tmp_path)


def test_the_memory_of_words_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing, "_CACHED_WORDS", 50)
    predictor = load(text_bundle(tmp_path))
    predictor.predict([f"word{i}" for i in range(500)])
    assert len(hashing._HASHES) <= 50
    assert predictor.predict(["dog"])[0]["label"] == "dog"


def test_threads_share_one_predictor(tmp_path):
    predictor = load(text_bundle(tmp_path))
    wrong = []

    def work(word):
        answers = (predictor.predict([f"{word} {i}"])[0]["label"] for i in range(50))
        wrong.extend(answer for answer in answers if answer != word)

    threads = [threading.Thread(target=work, args=(word,)) for word in ("cat", "dog") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
