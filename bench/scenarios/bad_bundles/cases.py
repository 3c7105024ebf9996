"""The cases of ``bad_bundles``: each prepares something in a folder, and gives what then is to be refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.artifacts import load_student, save_student
from models.export.bundle import write_serving_folder
from models.students.student import Student
from predictor import load

Use = Callable[[], Any]
Case = Callable[[Path], Use]
GIGABYTE = 1 << 30


@cache
def student() -> Student:
    """A small student of texts."""
    rng = np.random.default_rng(0)
    arrays = {
        "table": rng.normal(size=(512, 4)).astype(np.float32),
        "head.weight": np.eye(2, 4, dtype=np.float32),
        "head.bias": np.zeros(2, np.float32),
        "scale": np.ones(1, np.float32),
    }
    return Student.from_arrays("hashed", arrays, ["a", "b"])


def bundle(folder: Path, **changes: bytes | None) -> Path:
    """A bundle in a folder with files changed (``model``, ``labels``, …) or gone, and a manifest that fits them."""
    made = folder / "bundle"
    write_serving_folder(student(), made)
    names = {"model": "model.onnx"}
    for key, data in changes.items():
        path = made / names.get(key, f"{key}.json")
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
    if "manifest" not in changes:
        seal(made)
    return made


def seal(folder: Path) -> None:
    """Write the checksums of what is there into the manifest: whoever means harm would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"] = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.is_file() and file.name != "manifest.json" and file.stat().st_size < GIGABYTE // 8
    }
    path.write_text(json.dumps(manifest))


def predicting(folder: Path) -> Use:
    """Load it and predict."""
    return lambda: load(folder).predict(["one", "two words"])


def changed(**changes: Any) -> Case:
    """A bundle with changed files; values that are no bytes are written as JSON."""

    def prepare(folder: Path) -> Use:
        files = {
            name: value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            for name, value in changes.items()
        }
        return predicting(bundle(folder, **files))

    return prepare


def damaged(name: str, change: Callable[[bytes], bytes]) -> Case:
    """A bundle of which a file was changed after the manifest was written."""

    def prepare(folder: Path) -> Use:
        made = bundle(folder)
        (made / name).write_bytes(change((made / name).read_bytes()))
        return predicting(made)

    return prepare


def sparse(name: str, size: int) -> Case:
    """A bundle with a file that claims to be huge; it is a hole and takes no disk."""

    def prepare(folder: Path) -> Use:
        made = bundle(folder)
        with (made / name).open("ab") as file:
            file.truncate(size)
        return predicting(made)

    return prepare


def piped(folder: Path) -> Use:
    """A bundle whose model is a pipe that nobody writes to."""
    made = bundle(folder)
    (made / "model.onnx").unlink()
    os.mkfifo(made / "model.onnx")
    return predicting(made)


# Graphs ---------------------------------------------------------------------------------------------------------------


def graph(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], *, domains: tuple[str, ...] = ("",), **more: Any
) -> bytes:
    """A serialised graph from ``input`` (n, ids) to ``probabilities`` (n, 2)."""
    given = [helper.make_tensor_value_info("input", TensorProto.INT64, ["n", "ids"])]
    out = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    model = helper.make_model(
        helper.make_graph(nodes, "g", given, out, held), opset_imports=opsets, ir_version=8, **more
    )
    return bytes(model.SerializeToString())


def of_graph(make: Callable[[], bytes]) -> Case:
    """A bundle with this graph."""
    return lambda folder: predicting(bundle(folder, model=make()))


def external() -> bytes:
    """Weights in another file: the system's list of accounts."""
    model = student().to_onnx()
    table = model.graph.initializer[0]
    table.ClearField("raw_data")
    table.data_location = TensorProto.EXTERNAL
    table.external_data.add(key="location", value="../../../../etc/passwd")
    return bytes(model.SerializeToString())


def bomb() -> bytes:
    """A few bytes that ask for 40 gigabytes."""
    nodes = [
        helper.make_node(
            "ConstantOfShape", ["shape"], ["big"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1])
        ),
        helper.make_node("ReduceMean", ["big"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Slice", ["mean", "from", "to", "axis"], ["probabilities"]),
    ]
    shape = np.array([100_000, 100_000], np.int64)
    bounds = {name: np.array([value], np.int64) for name, value in {"from": 0, "to": 2, "axis": 1}.items()}
    return graph(nodes, {"shape": shape, **bounds})


def loop() -> bytes:
    """A loop of a million million steps."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_out"]), helper.make_node("Add", ["x", "x"], ["x_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2]),
        ],
        [
            helper.make_tensor_value_info("c_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_out", TensorProto.FLOAT, [1, 2]),
        ],
    )
    nodes = [helper.make_node("Loop", ["steps", "yes", "start"], ["probabilities"], body=body)]
    constants = {"steps": np.int64(10**12), "yes": np.bool_(True), "start": np.zeros((1, 2), np.float32)}
    return graph(nodes, constants)


def functions() -> bytes:
    """Functions that call each other: thirty of them unfold to a thousand million nodes."""
    made = []
    for level in range(30):
        kind = "Add" if level == 0 else f"f{level - 1}"
        call: list[Any] = ["x", "x"] if level == 0 else ["x"]
        domain = "" if level == 0 else "bomb"
        nodes = [
            helper.make_node(kind, call, ["a"], domain=domain),
            helper.make_node(kind, ["a", "a"] if level == 0 else ["a"], ["y"], domain=domain),
        ]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("bomb", 1)]
        made.append(helper.make_function("bomb", f"f{level}", ["x"], ["y"], nodes, opsets))
    nodes = [helper.make_node("f29", ["start"], ["probabilities"], domain="bomb")]
    return graph(nodes, {"start": np.zeros((1, 2), np.float32)}, domains=("", "bomb"), functions=made)


def foreign() -> bytes:
    """An operator that only somebody's own library would know."""
    return graph([helper.make_node("Run", ["input"], ["probabilities"], domain="evil")], {}, domains=("", "evil"))


def outside() -> Case:
    """A table that is smaller than preprocess.json says."""
    return changed(preprocess={"kind": "hashed-words-and-pairs", "rows": 1 << 30})


def not_finite(folder: Path) -> Use:
    """Weights that are no numbers."""
    model = student().to_onnx()
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    table = numpy_helper.to_array(held["table"]).copy()
    table[:] = np.nan
    held["table"].CopyFrom(numpy_helper.from_array(table, "table"))
    return predicting(bundle(folder, model=model.SerializeToString()))


# ZIPs -----------------------------------------------------------------------------------------------------------------


def zipped(change: Callable[[dict[str, bytes]], None], cut: int = 0) -> Case:
    """A bundle as a ZIP, with its members changed."""

    def prepare(folder: Path) -> Use:
        made = bundle(folder)
        members = {file.name: file.read_bytes() for file in made.iterdir()}
        change(members)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        path = folder / "bundle.zip"
        path.write_bytes(out.getvalue()[: len(out.getvalue()) - cut])
        return predicting(path)

    return prepare


def zip_bomb(folder: Path) -> Use:
    """A hundred megabytes of nothing in some kilobytes."""
    path = folder / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("manifest.json", '{"format": 1, "task": "text"}')
        with archive.open("labels.json", "w") as member:
            for _ in range(10):
                member.write(bytes(10_000_000))
    return predicting(path)


def many_members(members: dict[str, bytes]) -> None:
    """Members without number."""
    members.update({f"{n}.txt": b"" for n in range(5_000)})


def climbing(members: dict[str, bytes]) -> None:
    """A member whose name leads out of any folder, in the place of one that is needed."""
    members["../../labels.json"] = members.pop("labels.json")


# Weights --------------------------------------------------------------------------------------------------------------


def weights(change: Callable[[bytes], bytes], *, sealed: bool = True) -> Case:
    """A stored student whose safetensors file was changed; ``sealed`` with a checksum that fits."""

    def prepare(folder: Path) -> Use:
        save_student(folder, student())
        path, description = folder / "student.safetensors", folder / "student.json"
        path.write_bytes(change(path.read_bytes()))
        if sealed:
            said = json.loads(description.read_text())
            said["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
            description.write_text(json.dumps(said))
        return lambda: load_student(folder)

    return prepare


def described(**changes: Any) -> Case:
    """A stored student whose student.json says something else."""

    def prepare(folder: Path) -> Use:
        save_student(folder, student())
        path = folder / "student.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        return lambda: load_student(folder)

    return prepare


def tensors(arrays: dict[str, Any], family: str = "hashed") -> Case:
    """A stored student with other arrays."""

    def prepare(folder: Path) -> Use:
        from safetensors.numpy import save

        case = weights(lambda _: bytes(save(arrays)))(folder)
        path = folder / "student.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "family": family}))
        return case

    return prepare


def header(text: bytes) -> Callable[[bytes], bytes]:
    """A safetensors file of a header and nothing else."""
    return lambda _: len(text).to_bytes(8, "little") + text


# Tokenizers -----------------------------------------------------------------------------------------------------------


def tokenizer(change: Callable[[bytes], bytes]) -> Case:
    """A registered encoder whose tokenizer.json was changed."""

    def prepare(folder: Path) -> Use:
        from models.encoder_hf import HubEncoder
        from models.hub import HubModel

        model = _tiny_bert(folder / "model")
        path = model / "tokenizer.json"
        path.write_bytes(change(path.read_bytes()))
        return lambda: HubEncoder("hf:bad", HubModel(str(model)), "text", folder / "cache").encode(["a river"])

    return prepare


def _tiny_bert(folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "river": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    wrap: Any = PreTrainedTokenizerFast
    wrap(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        shape: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        BertModel(BertConfig(vocab_size=3, max_position_embeddings=16, **shape)).save_pretrained(folder)
    return folder


_PIXELS = {"kind": "pixels", "mode": "L", "size": [100_000, 100_000], "mean": [0.5], "std": [0.2]}
_IMAGE = {"format": 1, "task": "image", "sha256": {}}
_NESTED = b"[" * 200_000 + b"]" * 200_000

CASES: dict[str, Case] = {
    "`manifest.json` is missing": changed(manifest=None),
    "`manifest.json` is cut off": damaged("manifest.json", lambda data: data[: data.rindex(b'"')]),
    "`manifest.json` of another format": changed(manifest={"format": 99}),
    "`manifest.json` whose checksums are a list": changed(manifest={"format": 1, "task": "text", "sha256": [1]}),
    "`manifest.json` nested 200,000 deep": changed(manifest=_NESTED),
    "`manifest.json` of 8 GB": sparse("manifest.json", 8 * GIGABYTE),
    "`manifest.json` with a number of 100,000 digits": changed(manifest=b'{"format": ' + b"1" * 100_000 + b"}"),
    "`manifest.json` that names another kind of item": changed(manifest={"format": 1, "task": "shell"}),
    "`labels.json` is no list": changed(labels={"a": 1}),
    "`labels.json` names a class twice": changed(labels=["a", "a"]),
    "`labels.json` has a name too many": changed(labels=["a", "b", "c"]),
    "`labels.json` changed after the export": damaged("labels.json", lambda data: data.replace(b'"a"', b'"c"')),
    "`preprocess.json` without its settings": changed(preprocess={}),
    "`preprocess.json`: a table of −5 rows": changed(preprocess={"rows": -5}),
    "`preprocess.json`: more rows than the table has": outside(),
    "`preprocess.json`: images of 100,000 × 100,000": changed(preprocess=_PIXELS, manifest=_IMAGE),
    "`model.onnx` is missing": changed(model=None),
    "`model.onnx` is cut off": damaged("model.onnx", lambda data: data[:-7]),
    "`model.onnx` with one bit changed": damaged(
        "model.onnx", lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    ),
    "`model.onnx` is cut off, its checksum made to fit": of_graph(
        lambda: bytes(student().to_onnx().SerializeToString())[:-7]
    ),
    "`model.onnx` is random bytes": of_graph(lambda: np.random.default_rng(0).bytes(10_000)),
    "`model.onnx` is empty": changed(model=b""),
    "`model.onnx` of 8 GB": sparse("model.onnx", 8 * GIGABYTE),
    "`model.onnx` is a pipe that never ends": piped,
    "`model.onnx` with weights in `/etc/passwd`": of_graph(external),
    "`model.onnx` that asks for 40 GB": of_graph(bomb),
    "`model.onnx` that loops a million million times": of_graph(loop),
    "`model.onnx` whose functions unfold to 10⁹ nodes": of_graph(functions),
    "`model.onnx` with an operator of its own": of_graph(foreign),
    "`model.onnx` in onnxruntime's own format": changed(model=b"\x00\x00\x00\x00ORTM" + bytes(1_000)),
    "`model.onnx` whose weights are NaN": not_finite,
    "a ZIP that is cut off": zipped(lambda members: None, cut=40),
    "a ZIP of 100 MB in one member (a ZIP bomb)": zip_bomb,
    "a ZIP of 5,000 members": zipped(many_members),
    "a ZIP with a member `../../labels.json`": zipped(climbing),
    "weights (safetensors) cut off": weights(lambda data: data[:-100], sealed=False),
    "weights cut off, their checksum made to fit": weights(lambda data: data[:-100]),
    "weights whose header claims 2⁶² bytes": weights(lambda data: (1 << 62).to_bytes(8, "little") + data[8:]),
    "weights whose header is no JSON": weights(header(b"x" * 100)),
    "weights that claim a tensor of 4 TB": weights(
        header(b'{"table":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}')
    ),
    "weights that are a pickle": weights(lambda _: b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    "weights whose shapes would multiply to 40 GB": tensors(
        {
            "hidden.weight": np.zeros((100_000, 1), np.float32),
            "hidden.bias": np.zeros(100_000, np.float32),
            "center": np.zeros(1, np.float32),
            "spread": np.ones(1, np.float32),
            "head.weight": np.zeros((1, 1), np.float32),
            "head.bias": np.zeros(100_000, np.float32),
            "scale": np.ones(1, np.float32),
        },
        family="mlp",
    ),
    "weights of another family": tensors({"table": np.zeros((4, 4), np.float32)}, family="convnet"),
    "weights with a tensor that is missing": tensors({"table": np.zeros((4, 4), np.float32)}),
    "weights of NaN": tensors({"table": np.full((4, 4), np.nan, np.float32)}),
    "`student.json` names the family `os.system`": described(family="os.system"),
    "`student.json` without class names": described(class_names=None),
    "`student.json` with a class too many": described(class_names=["a", "b", "c"]),
    "an encoder's `tokenizer.json` is cut off": tokenizer(lambda data: data[: data.rindex(b'"')]),
    "an encoder's `tokenizer.json` is nested 200,000 deep": tokenizer(lambda _: _NESTED),
    "an encoder's `tokenizer.json` is an empty object": tokenizer(lambda _: b"{}"),
}
