"""``python predict.py``: JSONL out, whatever comes in."""

import base64
import io
import json

import pytest

from predictor import load
from predictor.command_line import main
from tests.predictor.bundles import image_bundle, png, text_bundle, vector_bundle


def run(capsys, folder, *arguments):
    code = main(["--bundle", str(folder), *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_each_text_among_the_arguments_gets_a_line(tmp_path, capsys):
    code, lines, err = run(capsys, text_bundle(tmp_path), "my cat", "dog dog")
    assert (code, err) == (0, "")
    assert lines == load(tmp_path).predict(["my cat", "dog dog"])


def test_a_file_gets_a_line_for_each_row_and_empty_lines_none(tmp_path, capsys):
    file = tmp_path / "in.jsonl"
    file.write_text('\ufeff{"text": "dog"}\n\n{"text": "cat", "key": "k7"}\n', "utf-8")
    code, lines, _ = run(capsys, text_bundle(tmp_path / "bundle"), "--file", file)
    assert code == 0
    assert [line["label"] for line in lines] == ["dog", "cat"]
    assert set(lines[0]) == {"label", "confidence", "probabilities"}


def test_standard_input_is_a_file_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO('{"text": "dog"}\n'))
    assert run(capsys, text_bundle(tmp_path), "--file", "-")[1][0]["label"] == "dog"


def test_a_bad_row_is_told_in_its_place_and_spoils_no_other(tmp_path, capsys):
    file = tmp_path / "in.jsonl"
    rows = ['{"text": "dog"}', "{", '{"image": "x"}', "[]", '{"text": 3}', '{"text": "cat"}']
    file.write_text("\n".join(rows))
    code, lines, err = run(capsys, text_bundle(tmp_path / "bundle"), "--file", file)
    assert code == 1
    assert [line.get("label") for line in lines] == ["dog", None, None, None, None, "cat"]
    assert lines[2] == {"error": 'a row must be an object with "text"'}
    assert lines[4] == {"error": '"text" must be a string'}
    assert "4 items could not be read" in err


def test_images_come_as_paths_or_as_base64(tmp_path, capsys):
    bundle = image_bundle(tmp_path / "bundle")
    (tmp_path / "light.png").write_bytes(png(240))
    (tmp_path / "notes.txt").write_text("no image")
    paths = [tmp_path / "light.png", tmp_path / "notes.txt", tmp_path / "missing.png"]
    code, lines, _ = run(capsys, bundle, *paths)
    assert code == 1
    assert lines[0]["label"] == "light"
    assert "not a readable image" in lines[1]["error"]
    assert "No such file" in lines[2]["error"]
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps({"image": base64.b64encode(png(5)).decode()}) + '\n{"image": "%%%"}\n{"image": 5}\n')
    code, lines, _ = run(capsys, bundle, "--file", file)
    assert lines[0]["label"] == "dark"
    assert lines[1:] == [{"error": '"image" must be base64'}] * 2


def test_features_come_as_json_lists(tmp_path, capsys):
    code, lines, _ = run(capsys, vector_bundle(tmp_path), "[1, 2]", "[2, 1.5]", "[1]", "nonsense")
    assert code == 1
    assert [line.get("label") for line in lines] == ["y", "x", None, None]
    assert "2 numbers are needed" in lines[2]["error"]


def test_unicode_is_printed_as_it_is(tmp_path, capsys):
    code = main(["--bundle", str(text_bundle(tmp_path, ["Straße", "東京"])), "STRASSE"])
    assert code == 0
    assert "Straße" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["a text", "--file", "in.jsonl"], ["--unknown"]])
def test_wrong_usage_ends_with_2(arguments, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--bundle", str(text_bundle(tmp_path)), *arguments])
    assert caught.value.code == 2


def test_a_missing_file_or_bundle_is_one_line_and_1(tmp_path, capsys):
    code, lines, err = run(capsys, text_bundle(tmp_path / "bundle"), "--file", tmp_path / "no.jsonl")
    assert (code, lines, err.count("\n")) == (1, [], 1)
    code, lines, err = run(capsys, tmp_path / "nowhere", "a text")
    assert (code, lines, err.count("\n")) == (1, [], 1)
    assert "manifest.json cannot be read" in err
