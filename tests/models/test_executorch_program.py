"""Students as ExecuTorch programs: made twice they are the same, and what is no program is refused, not tried."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from itertools import pairwise

import numpy as np
import pytest

from models.errors import ModelError
from models.export import formats
from models.export.executorch_program import MOST_IDS, build_executorch
from models.export.layers import Words
from predictor import BundleError
from predictor.executorch_runtime import ExecuTorchSession, _hushed, fewer_ids
from predictor.runtime import Predictor
from tests.models.small_students import text_student, vector_student
from tests.models.test_export_formats import export, need


@pytest.fixture(scope="module")
def program():
    need("executorch")
    return formats.OTHER_FORMATS["executorch"].build(vector_student())["model.pte"]


@pytest.fixture(scope="module")
def text_program():
    need("executorch")
    return formats.OTHER_FORMATS["executorch"].build(text_student())["model.pte"]


def test_the_same_student_gives_the_same_bytes(program):
    assert formats.OTHER_FORMATS["executorch"].build(vector_student())["model.pte"] == program


def test_a_bundle_s_own_file_answers_and_says_nothing_else(tmp_path):
    need("executorch")
    with zipfile.ZipFile(export(tmp_path, "text", "executorch")) as archive:
        archive.extractall(tmp_path / "unpacked")
    needed = (tmp_path / "unpacked" / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in needed] == ["numpy", "executorch", "torch"]
    assert not any("+" in line for line in needed)  # a build that only one index has
    code = (
        "import sys; sys.path.insert(0, '.'); import predict; predict.main(['apple banana', 'hammer']);"
        "print(sorted({'executorch.exir', 'torchao', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path / "unpacked", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, loaded = done.stdout.splitlines()
    assert ('"label": "fruit"' in first, '"label": "tool"' in second, loaded) == (True, True, "[]")


def test_texts_longer_than_a_program_reads_answer_as_the_student_nearly_does(text_program):
    student = text_student()
    words = np.random.default_rng(0).choice(["apple", "banana", "hammer", "saw", *"abcdefgh"], 16 * MOST_IDS).tolist()
    texts = [" ".join(words), "apple", " ".join(words[: MOST_IDS // 4]), "", "hammer hammer"]
    settings = formats.preprocess_for(student.network, "executorch")
    files = {"model.pte": text_program}
    predictor = Predictor(files, student.class_names, "text", settings, runtime="executorch")
    own, got = student.predict_proba(texts), predictor.predict_proba(texts)
    assert got[1:] == pytest.approx(own[1:], abs=1e-5)
    assert got[0] == pytest.approx(own[0], abs=0.02)


def test_what_is_left_out_of_a_long_text_is_spread_over_it():
    ids = np.array([[1, 2, 3, 4, 5, 6, 7, 8], [9, 8, 7, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 0, 0, 0]])
    assert fewer_ids(ids, 4).tolist() == [[1, 3, 5, 7], [9, 8, 7, 0], [1, 2, 3, 4]]
    assert fewer_ids(ids, 8) is ids


def test_a_session_tells_what_it_reads_and_runs_a_large_batch_in_parts(program):
    session = ExecuTorchSession(program, 1)
    [given], [told] = session.get_inputs(), session.get_outputs()
    assert (given.shape, given.type, told.shape) == (["items", 4], "tensor(float)", ["items", 3])
    X = np.random.default_rng(0).normal(size=(131, 4)).astype(np.float32)
    X.setflags(write=False)
    [together] = session.run(["probabilities"], {"input": X})
    assert together.shape == (131, 3)
    assert together == pytest.approx(vector_student().predict_proba(list(X)), abs=1e-5)


def damaged(program):
    n = int.from_bytes(program[16:24], "little")
    return {
        "empty": b"",
        "short": program[:20],
        "a TFLite file": b"\x1c\x00\x00\x00TFL3" + bytes(100),
        "weights cut off": program[:-1],
        "program cut off": program[: n // 2],
        "longer than it is": program[:16] + (1 << 62).to_bytes(8, "little") + program[24:],
        "weights elsewhere": program[:24] + ((1 << 64) - 8).to_bytes(8, "little") + program[32:],
        "zeros behind its header": program[:40] + bytes(len(program) - 40),
    }


def test_what_is_cut_off_or_no_program_is_refused(program, capfd):
    for name, data in damaged(program).items():
        with pytest.raises(BundleError, match=r"model\.pte cannot be loaded"):
            pytest.fail(f"{name}: {ExecuTorchSession(data, 1)} was loaded")
    assert capfd.readouterr().err == ""


def test_every_truncation_is_refused(program):
    ends = np.linspace(0, len(program) - 1, 200).astype(int).tolist()
    assert all(a < b for a, b in pairwise(ends))
    for end in ends:
        with pytest.raises(BundleError, match="cut off"):
            ExecuTorchSession(program[:end], 1)


def test_where_the_package_is_missing_the_requirements_are_named(program, monkeypatch):
    monkeypatch.setitem(sys.modules, "executorch.extension.pybindings", None)
    with pytest.raises(BundleError, match=r"run by ExecuTorch: pip install -r requirements\.txt"):
        ExecuTorchSession(program, 1)


def test_a_layer_that_has_no_form_is_refused():
    with pytest.raises(ModelError, match="Words has no form in ExecuTorch"):
        build_executorch([Words("words", ["a"], [1])], ["items"])


def test_what_others_write_while_a_program_is_loaded_comes_late_and_is_not_lost(capfd):
    with _hushed() as said:
        os.write(2, b"[operator.cpp:12] the program is bad\nanother thread's line\n[cpuinfo_utils.cpp:71] no file\n")
        assert said() == "the program is bad"
    assert capfd.readouterr().err == "another thread's line\n"
