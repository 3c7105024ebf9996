"""Teachers and students in plain words: what each is, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Words(NamedTuple):
    """What something is, in a few words beside its name and in a sentence, and what it costs."""

    short: str
    what: str
    costs: str


_SECONDS = "Seconds a round."
#: CPU-seconds of training are those of docs/finetuning.md and docs/transformer_student.md: 400 labels, AG News.
TEACHERS = {
    "auto": Words(
        "chosen by measuring",
        "The quick ones compared by cross-validation, from 20 labels on; the head where none is clearly better.",
        "Seconds; a comparison each time that labels have grown by 30 %.",
    ),
    "logistic": Words(
        "the head that ranks",
        "Logistic regression on the encoder's features: the same model that ranks the items.",
        "Nothing more: it is trained in any case.",
    ),
    "lexical": Words(
        "the words alone",
        "Logistic regression on words, word pairs and pieces of words. For texts that an encoder reads badly.",
        _SECONDS,
    ),
    "prototypes": Words(
        "the names of the labels",
        "Each label is where its name, its description and its labelled texts lie. Strong with few labels and many "
        "classes; needs names that say something.",
        _SECONDS,
    ),
    "stacked": Words(
        "the average of head, words and names",
        "Logistic, lexical and prototypes together, weighted by how well each answers.",
        _SECONDS,
    ),
    "finetuned": Words(
        "a whole encoder trained on the labels",
        "All weights of an encoder learn from the labels, from 60 on. The head answers where it is better.",
        "Minutes (117 CPU-seconds with 400 labels, more with more), about 1 GB of memory, 45 MB stored.",
    ),
    "finetuned-lora": Words(
        "an encoder with small additions trained",
        "As finetuned, but only low-rank additions beside the weights learn.",
        "Minutes (98 CPU-seconds with 400 labels), about 1 GB of memory, 1.3 MB stored.",
    ),
    "finetuned-bias": Words(
        "an encoder with its biases trained",
        "As finetuned, but only the biases learn.",
        "A minute or more (66 CPU-seconds with 400 labels), about 0.5 GB of memory, 0.06 MB stored.",
    ),
    "finetuned-last": Words(
        "an encoder with its last two layers trained",
        "As finetuned, but only the last two layers learn.",
        "A minute or more (43 CPU-seconds with 400 labels), about 0.4 GB of memory, 7 MB stored.",
    ),
}
STUDENTS = {
    "auto": Words(
        "chosen by measuring",
        "The quick families are trained and measured; the first that is as near to the teacher as the nearest, and "
        "within the budget's size and time, is taken.",
        "Seconds; a comparison each time that labels have doubled.",
    ),
    "static": Words(
        "a vector for each word",
        "The mean of a text's word vectors, then a small network. One file reads texts as they are.",
        "Seconds to train, below 1 MB, a hundredth of a millisecond a text.",
    ),
    "hashed": Words(
        "words and word pairs, hashed",
        "The mean of hashed words and word pairs, then a linear layer.",
        "Seconds to train, below 2 MB, a hundredth of a millisecond a text.",
    ),
    "static-pieces": Words(
        "a vector for each piece of a word",
        "As static, but rare words, compounds and misspellings say what their pieces say. Needs the package "
        "tokenizers.",
        "Seconds to train, a table of some thousand pieces.",
    ),
    "transformer-1": Words(
        "one layer of the encoder",
        "The encoder's first layer, with the words that occur. A point or two more accurate where that counts.",
        "Minutes to train (118 CPU-seconds with 400 labels), 4 to 7 MB, 1 to 2 ms a text.",
    ),
    "transformer-2": Words(
        "two layers of the encoder", "The encoder's first two layers, with the words that occur.", "More than with one."
    ),
    "transformer-3": Words(
        "three layers of the encoder",
        "The encoder's first three layers, with the words that occur.",
        "More than with two.",
    ),
    "convnet": Words(
        "a small convolutional network",
        "Up to four blocks of convolution over the image.",
        "Seconds to minutes a round.",
    ),
    "mlp": Words("one hidden layer", "Standardised features, a hidden layer, a linear one.", _SECONDS),
}
_UNKNOWN = Words("", "These pages know no more of it: see the service's documentation.", "Not known here.")


def of_teacher(entry: Mapping[str, Any]) -> Words:
    """Of a teacher as ``GET /v1/teachers`` gives it."""
    model = str(entry.get("model") or "")
    name = str(entry["name"])
    if not entry.get("registered"):
        return TEACHERS.get(name, _UNKNOWN)
    if name.startswith("llm:"):
        return Words(model, "A language model is asked about some items a round; its answers help to teach.", "Money.")
    return Words(
        model.rpartition(".")[2],
        f"{model} of scikit-learn, on the features that the head reads, as the operator set it up.",
        "Its training in each round, and five times more when it is compared with the head.",
    )


def of_student(entry: Mapping[str, Any]) -> Words:
    """Of a family of students as ``GET /v1/student-families`` gives it."""
    return STUDENTS.get(str(entry["name"]), _UNKNOWN)
