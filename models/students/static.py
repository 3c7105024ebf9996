# ruff: noqa: D102 (Network says what each method does)
"""Texts: a vector for each word of the project → mean → normalised → one hidden layer → linear.

The vectors begin where their means approach the teacher's features (`models.bag_regression`), so that a student of a
few thousand texts starts with what its teacher's encoder knows of their words. Exported, splitting and look-up are part
of the graph: texts go in as they are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, cast
from unicodedata import normalize

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from models.bag_regression import regress_bags
from models.errors import BadInput
from models.optimisers import AdamW
from models.students.bag import Bag, RowAdam
from models.students.hashed import HashedTexts
from models.students.protocol import Arrays, Inputs, IntArray, Network, RawItem, Task, unseeded
from predictor.words import fold, word_forms

MOST_WORDS = 20_000
"""The most frequent words that get a vector: a megabyte and a half in INT8."""
DIM = 64
_HIDDEN = {40: 128}  # for so many classes at most
_HIDDEN_OF_MANY = 256
_LEAST_TEXTS = 2  # that a word must be in, in a pool of some size
_SMALL_POOL = 500
_SPREAD = 0.1  # of vectors that begin at random, where there are no features


@dataclass(frozen=True)
class Words:
    """The words that have a vector.

    Attributes:
        rows: The row of the table of each form in which a word may stand, as `predictor.words.word_forms` gives it.
    """

    rows: Mapping[str, int]

    @property
    def count(self) -> int:
        """How many words there are; their rows are 1 … count."""
        return max(self.rows.values(), default=0)

    @cached_property
    def digest(self) -> str:
        """Of all forms and their rows, hexadecimal: words that differ read texts differently."""
        rows = np.fromiter(self.rows.values(), np.int64, len(self.rows))
        forms = "\n".join(self.rows).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(rows.tobytes() + forms, digest_size=32).hexdigest()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Words:
        """The most frequent words of some texts, the most frequent first."""
        frequency: Counter[str] = Counter()
        forms: dict[str, set[str]] = {}  # those of each word that are not ASCII
        word_of: dict[str, str] = {}
        n = 0
        for text in texts:
            n += 1
            found = set(word_forms(text))
            if text.isascii():  # each form is a word
                frequency.update(found)
                continue
            other = {form for form in found if not form.isascii()}
            for form in other - word_of.keys():
                word_of[form] = fold(form)
                forms.setdefault(word_of[form], set()).add(form)
            frequency.update((found - other) | {word_of[form] for form in other})
        least = _LEAST_TEXTS if n >= _SMALL_POOL else 1
        # By frequency, then by name: the order of texts must not matter.
        kept = sorted((word for word, times in frequency.items() if times >= least), key=lambda w: (-frequency[w], w))
        kept = kept[:MOST_WORDS]
        rows: dict[str, int] = {}
        for row, word in enumerate(kept, 1):
            rows |= dict.fromkeys([word] if word.isascii() else [], row)
            rows |= dict.fromkeys(sorted(forms.get(word, ())), row)
        for row, word in enumerate(kept, 1):
            if word in forms:
                for form in (variant for other in sorted({word, *forms[word]}) for variant in _variants(other)):
                    rows.setdefault(form, row)  # a form that was seen is what it was seen as
        return cls(rows)

    def look_up(self, texts: Sequence[str]) -> tuple[IntArray, IntArray]:
        """Rows of the table, text after text, (t,), and how many each text has, (n,); other words are left out."""
        get = self.rows.get
        found = [[row for form in word_forms(text) if (row := get(form))] for text in texts]
        counts = np.fromiter(map(len, found), np.int64, len(found))
        return np.fromiter((row for rows in found for row in rows), np.int64, int(counts.sum())), counts

    def lines(self) -> list[str]:
        """The forms of each word, parted by spaces, in the order of the rows from 1 on."""
        lines: list[list[str]] = [[] for _ in range(self.count)]
        for form, row in self.rows.items():
            lines[row - 1].append(form)
        return [" ".join(line) for line in lines]

    def array(self) -> NDArray[np.uint8]:
        """As bytes: a line for each row of the table, that of the padding empty."""
        return np.frombuffer("".join(f"{line}\n" for line in ["", *self.lines()]).encode(), np.uint8)

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> Words:
        """The words whose `array` it is; raises ValueError where it is none."""
        _, *lines = np.asarray(array, np.uint8).tobytes().decode().split("\n")
        return cls({form: row for row, line in enumerate(lines[:-1], 1) for form in line.split(" ")})


def _variants(word: str) -> list[str]:
    """The forms in which a word with other letters than a to z may stand, as a graph sees them: A to Z made small."""
    turkish = word.replace("i", "İ").upper()  # what a Turkish keyboard makes large
    cases = [word, word.lower(), word.upper(), word.title(), word.capitalize(), turkish, word.replace("ss", "ß")]
    shapes = [normalize(shape, case) for case in cases for shape in ("NFC", "NFD")]
    return [forms[0] for shape in shapes if len(forms := word_forms(shape)) == 1]


class StaticNetwork(Network):
    """Mean of words' vectors, normalised, a hidden layer of rectified units, a linear layer."""

    family: ClassVar[str] = "static"
    task: ClassVar[Task] = "text"
    epochs: ClassVar[int] = 10
    batch_size: ClassVar[int] = 512
    reads_features: ClassVar[Literal["never", "cold", "always"]] = "cold"
    splits_texts: ClassVar[bool] = True
    """Whether a graph can split texts as it does."""

    def __init__(self, words: Words, dim: int, hidden: int, n_classes: int):
        super().__init__()
        self.words = words
        with unseeded():
            self.table = Bag(words.count + 1, dim)
            self.norm = nn.LayerNorm(dim)
            self.hidden = nn.Linear(dim, hidden)
            self.head = nn.Linear(hidden, n_classes)

    @classmethod
    def create(cls, items: Sequence[RawItem], n_classes: int, generator: torch.Generator) -> StaticNetwork:
        network = cls(Words.of(checked_texts(items)), DIM, hidden_units(n_classes), n_classes)
        network.draw_weights(generator)
        return network

    def draw_weights(self, generator: torch.Generator) -> None:
        """Begin at random."""
        with torch.no_grad():
            self.table.weight.normal_(0.0, _SPREAD, generator=generator)
            self.table.weight[0] = 0
            self.norm.reset_parameters()
            for layer in (self.hidden, self.head):
                layer.weight.normal_(0.0, (2.0 / layer.in_features) ** 0.5, generator=generator)
                layer.bias.zero_()

    def begin_from(self, inputs: Inputs, features: ArrayLike) -> None:
        """Vectors whose means approach the features, on the scale on which training moves them."""
        texts, n = cast(HashedTexts, inputs), len(np.asarray(features))
        counts = texts.counts[:n]
        ids = texts.ids[: int(counts.sum())]
        table = regress_bags(ids, counts, self.table.num_embeddings, features, self.table.embedding_dim)
        with torch.no_grad():
            if not table.any():
                return
            self.table.weight.copy_(torch.from_numpy(table))
            means = self.table(torch.from_numpy(ids), torch.from_numpy(np.cumsum(counts) - counts))
            self.table.weight.div_(means.square().mean().sqrt())

    @classmethod
    def restore(cls, arrays: Arrays) -> StaticNetwork:
        words = cls.words_of(arrays)
        rows, dim = arrays["table.weight"].shape
        if rows != words.count + 1:
            raise ValueError(f"{words.count} words for a table of {rows} rows")
        hidden, n_classes = len(arrays["hidden.bias"]), len(arrays["head.bias"])
        shapes = {"hidden.weight": (hidden, dim), "head.weight": (n_classes, hidden)}
        for name, shape in shapes.items():  # before layers of that size are made
            if arrays[name].shape != shape:
                raise ValueError(f"{name} of shape {arrays[name].shape} where {shape} is needed")
        network = cls(words, dim, hidden, n_classes)
        network.load_state_dict({k: torch.from_numpy(np.array(arrays[k], np.float32)) for k in network.state_dict()})
        network.scale = float(arrays["scale"][0])
        return network

    @classmethod
    def words_of(cls, arrays: Arrays) -> Words:
        """The words among a student's arrays."""
        return Words.from_array(arrays["words"])

    def word_arrays(self) -> dict[str, NDArray[Any]]:
        """What `words_of` reads."""
        return {"words": self.words.array()}

    @property
    def n_classes(self) -> int:
        return self.head.out_features

    def prepare(self, items: Sequence[RawItem]) -> HashedTexts:
        return HashedTexts.read(checked_texts(items), self.words.look_up, self.words.digest)

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.relu(self.hidden(self.norm(self.table(ids, offsets)))))
        return logits

    def optimisers(self, warm: bool) -> list[torch.optim.Optimizer]:
        rate = 0.01 if warm else 0.03
        layers = [*self.norm.parameters(), *self.hidden.parameters(), *self.head.parameters()]
        return [
            RowAdam([self.table.weight], lr=rate),
            AdamW(layers, lr=0.3 * rate, weight_decay=0.01, fused=True),
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        weights = {name: tensor.detach().numpy() for name, tensor in self.state_dict().items()}
        return {**weights, **self.word_arrays(), "scale": np.array([self.scale], np.float32)}

    def preprocess(self) -> dict[str, Any] | None:
        return None

    def flops(self, inputs: Inputs) -> float:
        texts = cast(HashedTexts, inputs)
        dense = self.hidden.weight.numel() + self.head.weight.numel()
        return float(len(texts.ids)) * self.table.embedding_dim + 2.0 * len(texts) * dense


def hidden_units(n_classes: int) -> int:
    """How wide the hidden layer is."""
    return next((units for most, units in _HIDDEN.items() if n_classes <= most), _HIDDEN_OF_MANY)


def checked_texts(items: Sequence[RawItem]) -> Sequence[str]:
    """The items where all are texts; raises BadInput for the first that is none."""
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise BadInput(f"Item {index} is no text but {type(item).__name__}.")
    return cast(Sequence[str], items)
