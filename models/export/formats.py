"""Students in other forms than ONNX: plain NumPy, OpenVINO, LiteRT, ExecuTorch and a folder for the Hugging Face hub.

Each is built from the student's list of layers, or from its fp32 graph, and is run against the student before it is
handed out: the same rule of parity holds for every format.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from models.compress import MOST_ITEMS, Compressed, Parity
from models.errors import MissingExtra, ModelError, ParityError
from models.export.layers import Conv, Dense, Normalise, Quantisable, Standardise, Table, Words, layers_of
from models.export.onnx_graph import build_graph
from models.students.convnet import ConvNetwork
from models.students.mlp import MlpNetwork
from models.students.protocol import FloatArray, IntArray, Network, RawItem
from models.students.static import StaticNetwork
from models.students.student import Student
from models.students.transformer import TransformerNetwork
from predictor.openvino_runtime import import_openvino
from predictor.runtime import Predictor

TOKENIZER = "tokenizer"
"""What in a student's settings is the text of a tokenizer.json; it becomes a file of its own."""
Files = dict[str, bytes]
_REFUSED = "Students of the family {family!r} cannot be exported as {format}; use onnx-int8 or onnx."
Measured = tuple[Sequence[RawItem], IntArray]


@dataclass(frozen=True)
class Format:
    """A form that a student can be exported in.

    Attributes:
        runtime: What `predict.py` starts for it.
        packages: What that needs besides numpy.
        build: Makes the files of the model; the further ones, such as config.json, are for other programs.
        library: What a model card calls the library.
    """

    runtime: str
    packages: tuple[str, ...]
    build: Callable[[Student], Files]
    library: str


@dataclass(frozen=True)
class Exported:
    """A model's files that passed: what runs them, how near they are to the student, and how each layer is stored."""

    files: Files
    runtime: str
    parity: Parity
    layers: dict[str, str]

    @classmethod
    def of_graph(cls, compressed: Compressed) -> Exported:
        """Of an ONNX graph."""
        return cls({"model.onnx": compressed.model}, "onnx", compressed.parity, compressed.layers)


def export_model(student: Student, format: str, *, items: Sequence[RawItem], measured: Measured | None) -> Exported:
    """The files of a student in one of `OTHER_FORMATS`.

    Args:
        student: The fp32 student.
        format: Which one.
        items: Random items of the pool, of which the first `MOST_ITEMS` are compared.
        measured: Items with labels that were not trained on, and their class indices.

    Raises:
        MissingExtra: what converts it is not installed.
        ModelError: the family cannot be had in this format; names those that it can.
        ParityError: the files do not predict what the student does.
    """
    chosen = OTHER_FORMATS[format]
    if isinstance(student.network, TransformerNetwork):
        raise ModelError(_REFUSED.format(family=student.family, format=format))
    files = chosen.build(student)
    parity = compare(student, files, chosen.runtime, items[:MOST_ITEMS], measured)
    if parity.failure:
        raise ParityError(parity.failure)
    names = [layer.name for layer in layers_of(student.network) if isinstance(layer, Quantisable)]
    return Exported(files, chosen.runtime, parity, dict.fromkeys(names, "fp16" if format == "openvino" else "fp32"))


def compare(
    student: Student, files: Mapping[str, bytes], runtime: str, items: Sequence[RawItem], measured: Measured | None
) -> Parity:
    """How near a model's files, as `predict.py` runs them, are to the student."""
    network = student.network
    settings = preprocess_for(network, runtime)
    predictor = Predictor(files, student.class_names, student.task, settings, runtime=runtime)
    same = 1.0
    if len(items):
        same = float((predictor.predict_proba(items).argmax(1) == student.predict_proba(items).argmax(1)).mean())
    if measured is None or not len(measured[1]):
        return Parity(same, len(items), None, None, 0)
    rights = [
        float((model.predict_proba(measured[0]).argmax(1) == measured[1]).mean()) for model in (predictor, student)
    ]
    return Parity(same, len(items), rights[0], rights[1], len(measured[1]))


def preprocess_for(network: Network, runtime: str) -> dict[str, Any] | None:
    """What preprocess.json must say for a runtime: where texts do not go in as they are, it names the words."""
    if isinstance(network, StaticNetwork) and network.splits_texts and runtime != "onnx":
        return {"kind": "words", "words": network.words.lines()}
    return network.preprocess()


def plain_layers(student: Student, format: str) -> list[Table | Normalise | Standardise | Conv | Dense]:
    """The layers of a student whose family is a plain list of them, without what splits texts.

    Raises:
        ModelError: it is none, or has a kind of layer that this format does not know; says what to use.
    """
    try:
        layers = [layer for layer in layers_of(student.network) if not isinstance(layer, Words)]
    except ModelError:
        layers = []
    if not layers or not all(isinstance(layer, Table | Normalise | Standardise | Conv | Dense) for layer in layers):
        raise ModelError(_REFUSED.format(family=student.family, format=format))
    return layers


def input_shape(network: Network) -> list[int | str]:
    """The shape of a student's input; words where any number goes."""
    if isinstance(network, ConvNetwork):
        return ["items", len(network.mean), *network.size]
    return ["items", len(network.center)] if isinstance(network, MlpNetwork) else ["items", "ids"]


_PARTS_OF = {"standardise": ("center", "spread"), "normalise": ("gain", "shift")}


def _numpy_files(student: Student) -> Files:
    """One safetensors file: arrays by ``layer.part``, and the list of layers beside them."""
    from safetensors.numpy import save

    arrays: dict[str, FloatArray] = {}
    told = []
    for layer in plain_layers(student, "numpy"):
        kind = type(layer).__name__.lower()
        for part in _PARTS_OF.get(kind, ("weight", "bias")):
            value = getattr(layer, part)
            if value is not None:
                arrays[f"{layer.name}.{part}"] = np.ascontiguousarray(value, np.float32)
        about = {"kind": kind, "name": layer.name, "relu": isinstance(layer, Dense) and layer.relu}
        told.append({**about, "epsilon": layer.epsilon} if isinstance(layer, Normalise) else about)
    shape = json.dumps(input_shape(student.network))
    return {"model.safetensors": save(arrays, {"layers": json.dumps(told), "input": shape, "format": "np"})}


def _hub_files(student: Student) -> Files:
    """The NumPy form with a config.json as the hub and its programs read it."""
    names = list(student.class_names)
    config = {
        "model_type": f"winnow-{student.family}",
        "architectures": [type(student.network).__name__],
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
        "num_labels": len(names),
        "preprocess": preprocess_for(student.network, "numpy"),
        "input_shape": input_shape(student.network),
    }
    text = json.dumps(config, ensure_ascii=False, indent=1) + "\n"
    return {**_numpy_files(student), "config.json": text.encode()}


def _openvino_files(student: Student) -> Files:
    """OpenVINO's own files, weights in 16 bits; converted from the fp32 graph, with nothing asked of any network."""
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise MissingExtra("Export to OpenVINO", "openvino") from error
    graph = build_graph(student, texts=False).SerializeToString(deterministic=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        try:
            openvino.save_model(openvino.Core().read_model(graph, b""), path, compress_to_fp16=True)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1][:200]
            raise ModelError(
                f"OpenVINO cannot convert students of the family {student.family!r} ({first}); use onnx-int8 or onnx."
            ) from error
        return {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}


def _litert_files(student: Student) -> Files:
    """One flatbuffer, fp32."""
    from models.export.litert import build_litert

    layers = plain_layers(student, "litert")
    return {"model.tflite": build_litert(layers, input_shape(student.network), len(student.class_names))}


def _executorch_files(student: Student) -> Files:
    """One program, fp32."""
    from models.export.executorch_program import build_executorch

    return {"model.pte": build_executorch(plain_layers(student, "executorch"), input_shape(student.network))}


OTHER_FORMATS = {
    "numpy": Format("numpy", (), _numpy_files, "numpy"),
    "openvino": Format("openvino", ("openvino",), _openvino_files, "openvino"),
    "litert": Format("litert", ("ai-edge-litert",), _litert_files, "litert"),
    "executorch": Format("executorch", ("executorch", "torch"), _executorch_files, "executorch"),
    "huggingface": Format("numpy", (), _hub_files, "winnow"),
}
GRAPH_FORMATS = ("onnx-int8", "onnx")
FORMATS = (*GRAPH_FORMATS, *OTHER_FORMATS)


def packages(format: str, network: Network) -> dict[str, str]:
    """The packages that a bundle needs, pinned to what is installed here."""
    chosen = OTHER_FORMATS.get(format)
    runtime = ("onnxruntime",) if chosen is None else chosen.packages
    reading = ["pillow"] if network.task == "image" else []
    if TOKENIZER in (network.preprocess() or {}):
        reading.append("tokenizers")
    # A build's own mark (+cpu) is left out: not every index has that build.
    return {name: version(name).partition("+")[0] for name in ("numpy", *runtime, *reading)}
