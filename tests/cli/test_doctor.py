from __future__ import annotations

from cli.doctor import examine
from tests.models.tiny_hub_models import tiny_bert, tiny_vit
from winnow.settings import Settings


def test_every_registered_encoder_is_looked_at(tmp_path):
    bert, vit = tiny_bert(tmp_path / "bert"), tiny_vit(tmp_path / "vit")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"")
    entries = {
        "bert": str(bert),
        "vit": str(vit),
        "pickled": str(pickled),
        "wrong": {"source": str(bert), "task": "image"},
        "gone": str(tmp_path / "gone"),
    }
    settings = Settings(data=tmp_path / "data", hf_encoders=entries)
    found = {finding.name: finding for finding in examine(settings) if finding.name.startswith("encoder ")}
    assert {name: finding.ok for name, finding in found.items()} == {
        "encoder hf:bert": True,
        "encoder hf:gone": False,
        "encoder hf:pickled": False,
        "encoder hf:vit": True,
        "encoder hf:wrong": False,
    }
    assert found["encoder hf:bert"].detail == f"text, {bert}"
    assert found["encoder hf:vit"].detail == f"image, {vit}"
    assert "pytorch_model.bin" in found["encoder hf:pickled"].detail
    assert "it is a model of texts" in found["encoder hf:wrong"].detail
    assert "there is no folder" in found["encoder hf:gone"].detail


def test_every_registered_classifier_is_built(tmp_path):
    entries = {
        "forest": "sklearn.ensemble.RandomForestClassifier",
        "gone": "sklearn.ensemble.NoForest",
        "line": "sklearn.linear_model.LinearRegression",
    }
    settings = Settings(data=tmp_path / "data", classifiers=entries)
    found = {finding.name: finding for finding in examine(settings) if finding.name.startswith("classifier ")}
    assert {name: (finding.ok, finding.detail) for name, finding in found.items()} == {
        "classifier sklearn:forest": (True, "sklearn.ensemble.RandomForestClassifier"),
        "classifier sklearn:gone": (False, "there is no sklearn.ensemble.NoForest"),
        "classifier sklearn:line": (
            False,
            "sklearn.linear_model.LinearRegression is not a classifier of one class an item",
        ),
    }


def test_every_registered_language_model_is_looked_at_and_none_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("GOOD_KEY", "sk-good")
    entries = {
        "far": {"url": "https://api.example.org/v1", "model": "m", "api_key_env": "GOOD_KEY"},
        "keyless": {"url": "https://api.example.org/v1", "model": "m", "api_key_env": "NO_SUCH_KEY"},
        "plain": {"url": "http://192.0.2.1/v1", "model": "m"},
    }
    settings = Settings(data=tmp_path / "data", llm_endpoints=entries)
    found = {finding.name: finding for finding in examine(settings) if finding.name.startswith("language model ")}
    assert {name: finding.ok for name, finding in found.items()} == {
        "language model llm:far": True,
        "language model llm:keyless": False,
        "language model llm:plain": True,
    }
    assert found["language model llm:far"].detail == "m at api.example.org"
    assert (
        "the variable NO_SUCH_KEY, which is to hold the key, is not set" in found["language model llm:keyless"].detail
    )
    assert "UNENCRYPTED" in found["language model llm:plain"].detail
