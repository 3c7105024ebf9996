# ruff: noqa: D102 (Network says what each method does)
"""Texts: word pieces → the first one to three layers of the teacher's encoder → mean over the pieces → linear.

The layers, the positions and the rows of the pieces that the project's texts are made of are cut out of the encoder and
trained further (a truncated, "patient" student: sun2019, jiao2020). Linear layers run over the pieces that are there
and not over padding, so that a batch may hold texts of any lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.errors import BadInput
from models.optimisers import AdamW
from models.students.protocol import Arrays, Inputs, IntArray, Network, RawItem, Task, unseeded
from models.trunks import Trunk, layer_names
from models.vocabulary import END, PAD, START, UNKNOWN, trim_vocabulary
from predictor.hashing import pad
from predictor.pieces import WordPieces

MOST_PIECES = 256
"""Of one text, the two that it begins and ends with included; what is longer is cut."""
_UNKNOWN_SHARE = 0.05
"""Of the pieces that training hides, so that the student learns what an unknown one may mean."""
_CELLS = 2_000_000  # of an attention's matrix at once, when nothing is trained
_TOKENIZER = "tokenizer"
_WORDS, _POSITIONS = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"


@dataclass(frozen=True)
class PiecedTexts:
    """The ids of each text, one after the other; ``cut`` says which texts were longer than what is read."""

    ids: IntArray
    counts: IntArray
    starts: IntArray
    cut: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def cut_share(self) -> float:
        """Share of the texts that are not read to their end."""
        return float(self.cut.mean()) if len(self.cut) else 0.0

    def batch(self, rows: IntArray, noise: np.random.Generator | None = None) -> tuple[torch.Tensor, ...]:
        """Ids (b, longest), filled up with 0; with noise some become the unknown piece."""
        ids = pad(self.ids, self.starts[rows], self.counts[rows])
        if noise is not None:
            hidden = noise.random(ids.shape, np.float32) < _UNKNOWN_SHARE
            ids[hidden & (ids > END)] = UNKNOWN
        return (torch.from_numpy(ids),)


class _Layer(nn.Module):
    """One layer of BERT over pieces (t, d), under the names of a Hugging Face checkpoint."""

    def __init__(self, dim: int, inner: int, heads: int, epsilon: float):
        super().__init__()
        self.heads = heads
        parts = {name: nn.Linear(dim, dim) for name in ("query", "key", "value")}
        mixed = {"dense": nn.Linear(dim, dim), "LayerNorm": nn.LayerNorm(dim, epsilon)}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(parts), "output": nn.ModuleDict(mixed)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(dim, inner)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inner, dim), "LayerNorm": nn.LayerNorm(dim, epsilon)})

    def forward(self, x: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Pieces (t, d) and where they stand, bool (b, longest)."""
        read, out = cast(Any, self.attention)["self"], cast(Any, self.attention)["output"]
        query, key, value = (self._spread(read[name](x), present) for name in ("query", "key", "value"))
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=present[:, None, None, :])
        mixed = out["dense"](seen.transpose(1, 2).flatten(2)[present])
        x = out["LayerNorm"](x + mixed)
        inner = nn.functional.gelu(cast(Any, self.intermediate)["dense"](x))
        result: torch.Tensor = cast(Any, self.output)["LayerNorm"](x + cast(Any, self.output)["dense"](inner))
        return result

    def _spread(self, x: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Pieces (t, d) at their places, split into heads: (b, heads, longest, d / heads)."""
        places = x.new_zeros((*present.shape, x.shape[1]))
        places[present] = x
        return places.view(*present.shape, self.heads, -1).transpose(1, 2)


class TransformerNetwork(Network):
    """Embeddings, ``depth`` layers, mean, linear head."""

    task: ClassVar[Task] = "text"
    depth: ClassVar[int]
    epochs: ClassVar[int] = 4
    batch_size: ClassVar[int] = 64
    reads_features: ClassVar[Literal["never", "cold", "always"]] = "always"
    matches: ClassVar[bool] = True
    growth: ClassVar[float] = 1.25
    most_transfer: ClassVar[int] = 10_000
    rate: ClassVar[float] = 8e-4
    """Of the layers in a cold start; a quarter of it in a warm one, ten times as much for the head."""

    def __init__(self, shape: Mapping[str, int], epsilon: float, tokenizer: str, n_classes: int):
        """Layers of a shape: ``rows``, ``dim``, ``inner``, ``heads`` and ``most`` pieces."""
        super().__init__()
        self.tokenizer, self.epsilon = tokenizer, epsilon
        self.heads, self.most = shape["heads"], shape["most"]
        dim = shape["dim"]
        self.pieces = WordPieces(tokenizer, rows=shape["rows"], start=START, end=END, most=self.most)
        with unseeded():
            self.embeddings = nn.ModuleDict(
                {
                    "word_embeddings": nn.Embedding(shape["rows"], dim),
                    "position_embeddings": nn.Embedding(self.most, dim),
                    "LayerNorm": nn.LayerNorm(dim, epsilon),
                }
            )
            layers = nn.ModuleList(_Layer(dim, shape["inner"], self.heads, epsilon) for _ in range(self.depth))
            self.encoder = nn.ModuleDict({"layer": layers})
            self.head = nn.Linear(dim, n_classes)

    @classmethod
    def create(cls, items: Sequence[RawItem], n_classes: int, generator: torch.Generator) -> TransformerNetwork:
        raise BadInput(f"The student {cls.family!r} is cut from an encoder: its trunk must be handed in.")

    @classmethod
    def cut(
        cls, trunk: Trunk, items: Sequence[RawItem], n_classes: int, generator: torch.Generator
    ) -> TransformerNetwork:
        """The first layers of the encoder, with the rows of the pieces that occur in the items."""
        if trunk.layers < cls.depth:
            raise BadInput(
                f"The encoder {trunk.name!r} has {trunk.layers} layers, the student {cls.family!r} needs {cls.depth}."
            )
        most = min(MOST_PIECES, len(trunk.arrays[_POSITIONS]))
        vocabulary = trim_vocabulary(trunk.tokenizer, _texts(items), most=most)
        kept = [*_norm_names(), *(name for layer in range(cls.depth) for name in layer_names(layer))]
        arrays: dict[str, NDArray[Any]] = {name: trunk.arrays[name] for name in kept}
        # All pieces are of type 0, whose embedding therefore goes into the positions'.
        arrays[_POSITIONS] = (
            trunk.arrays[_POSITIONS][:most] + trunk.arrays["embeddings.token_type_embeddings.weight"][0]
        )
        arrays[_WORDS] = trunk.arrays[_WORDS][vocabulary.rows]
        dim = arrays[_WORDS].shape[1]
        head = torch.empty(n_classes, dim).normal_(0.0, dim**-0.5, generator=generator)
        arrays |= {"head.weight": head.numpy(), "head.bias": np.zeros(n_classes, np.float32)}
        arrays |= {"heads": np.array([trunk.heads]), "epsilon": np.array([trunk.epsilon])}
        return cls.restore(arrays | {"scale": np.ones(1, np.float32), _TOKENIZER: _bytes(vocabulary.tokenizer)})

    @classmethod
    def restore(cls, arrays: Arrays) -> TransformerNetwork:
        rows, dim = arrays[_WORDS].shape
        inner = len(arrays["encoder.layer.0.intermediate.dense.bias"])
        shape = {"rows": rows, "dim": dim, "inner": inner, "heads": int(arrays["heads"][0])}
        shape["most"] = len(arrays[_POSITIONS])
        if shape["heads"] < 1 or dim % shape["heads"]:
            raise ValueError(f"{shape['heads']} heads do not share {dim} dimensions")
        text = np.asarray(arrays[_TOKENIZER], np.uint8).tobytes().decode()
        network = cls(shape, float(arrays["epsilon"][0]), text, len(arrays["head.bias"]))
        state = network.state_dict()
        loaded = {name: torch.from_numpy(np.array(arrays[name], np.float32)) for name in state}
        network.load_state_dict(loaded)
        network.scale = float(arrays["scale"][0])
        return network

    @property
    def n_classes(self) -> int:
        return self.head.out_features

    def prepare(self, items: Sequence[RawItem]) -> PiecedTexts:
        ids, counts, cut = self.pieces(_texts(items))
        return PiecedTexts(ids, counts, np.cumsum(counts) - counts, cut)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.states(ids)[-1] if self.training else self._last_state(ids))
        return logits

    def states(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """The mean over each text's pieces after each layer: ids (b, longest) → float32 (b, d) each."""
        [ids] = inputs
        present = ids > PAD
        counts = present.sum(1, keepdim=True).clamp(min=1)
        owners, places = present.nonzero(as_tuple=True)
        embeddings = cast(Any, self.embeddings)
        means = []
        with _autocast():
            x = embeddings["word_embeddings"](ids[present]) + embeddings["position_embeddings"](places)
            x = embeddings["LayerNorm"](x)
            for layer in cast(Any, self.encoder)["layer"]:
                x = layer(x, present)
                total = torch.zeros((len(ids), x.shape[1])).index_add(0, owners, x.float())
                means.append(total / counts)
        return means

    def _last_state(self, ids: torch.Tensor) -> torch.Tensor:
        """The last of the states, texts of like length together and no more at once than fits."""
        counts = (ids > PAD).sum(1)
        order = torch.argsort(counts)
        found = torch.empty((len(ids), self.head.in_features))
        begin = 0
        while begin < len(order):
            end = len(order)
            while self.heads * (end - begin) * int(counts[order[end - 1]]) ** 2 > _CELLS and end > begin + 1:
                end = begin + (end - begin + 1) // 2
            rows = order[begin:end]
            # An id of padding amid a text, where somebody wrote "[PAD]", leaves what follows where it is.
            width = int((ids[rows] > PAD).nonzero()[:, 1].max()) + 1 if counts[rows].any() else 1
            found[rows] = self.states(ids[rows][:, :width])[-1]
            begin = end
        return found

    def optimisers(self, warm: bool) -> list[torch.optim.Optimizer]:
        rate = self.rate / 4 if warm else self.rate
        trunk = [parameter for name, parameter in self.named_parameters() if not name.startswith("head.")]
        groups = [{"params": trunk, "lr": rate}, {"params": [*self.head.parameters()], "lr": 10 * rate}]
        return [AdamW(groups, weight_decay=0.01, fused=True)]

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {
            **{name: tensor.detach().numpy() for name, tensor in self.state_dict().items()},
            "scale": np.array([self.scale], np.float32),
            "heads": np.array([self.heads]),
            "epsilon": np.array([self.epsilon]),
            _TOKENIZER: _bytes(self.tokenizer),
        }

    def preprocess(self) -> dict[str, Any] | None:
        rows = len(cast(Any, self.embeddings)["word_embeddings"].weight)
        settings = {"rows": rows, "start": START, "end": END, "most": self.most}
        return {"kind": "word-pieces", **settings, _TOKENIZER: self.tokenizer}

    def flops(self, inputs: Inputs) -> float:
        counts = cast(PiecedTexts, inputs).counts.astype(np.float64)
        dim = self.head.in_features
        inner = cast(Any, self.encoder)["layer"][0].intermediate["dense"].out_features
        linear = counts.sum() * 2.0 * dim * (4 * dim + 2 * inner)
        attention = 4.0 * dim * (counts**2).sum()
        return float(self.depth * (linear + attention) + 2.0 * len(counts) * dim * self.n_classes)


class OneLayer(TransformerNetwork):
    """The first layer."""

    family: ClassVar[str] = "transformer-1"
    depth: ClassVar[int] = 1


class TwoLayers(TransformerNetwork):
    """The first two layers."""

    family: ClassVar[str] = "transformer-2"
    depth: ClassVar[int] = 2


class ThreeLayers(TransformerNetwork):
    """The first three layers."""

    family: ClassVar[str] = "transformer-3"
    depth: ClassVar[int] = 3


def computes_in_half() -> bool:
    """Whether this processor multiplies bfloat16 by itself; elsewhere it would be slower than float32."""
    return any(able for name, able in torch.cpu.get_capabilities().items() if name.endswith("bf16"))


def _autocast() -> AbstractContextManager[Any]:
    if not torch.is_grad_enabled() or not computes_in_half():
        return nullcontext()
    return torch.autocast("cpu", torch.bfloat16)


def _norm_names() -> list[str]:
    return [f"embeddings.LayerNorm.{kind}" for kind in ("weight", "bias")]


def _texts(items: Sequence[RawItem]) -> Sequence[str]:
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise BadInput(f"Item {index} is no text but {type(item).__name__}.")
    return cast(Sequence[str], items)


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)
