"""What a language model's reply says of an item's class: probabilities, or that it fits none. Nothing is guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError

UNFIT = -1
"""The class index of an answer that is none of the classes."""
SMOOTHING = 0.5
"""Votes that are shared out evenly before any is counted: a single answer is no certainty."""
LEAST_PROBABILITY = 1e-4
"""What a class gets that the model did not name among its likeliest tokens."""

_AROUND = " \t\r\n\"'`*_.,:;()[]{}<>«»“”‘’"
_MOST_TOKENS = 16
_MOST_ALTERNATIVES = 64
_MOST_CHOICES = 64
_MOST_COUNTED = 10**9

FloatArray = NDArray[np.float64]


class UnreadableReply(ModelError):
    """The server answered, but not in the form of chat completions; ``why`` says what is missing."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The language model's server sent no chat completion: {why}.")
        self.why = why


@dataclass(frozen=True)
class Vote:
    """One answer: its class index or `UNFIT`, and the probabilities of all classes where the server gave them."""

    label: int
    probabilities: FloatArray | None = None


@dataclass(frozen=True)
class Reply:
    """A chat completion. ``tokens_in`` and ``tokens_out`` are what the server says; None where it does not."""

    votes: tuple[Vote, ...]
    tokens_in: int | None
    tokens_out: int | None


def read_reply(payload: Any, codes: Sequence[str], names: Sequence[str] = ()) -> Reply:
    """The answers in a chat completion.

    Args:
        payload: The JSON that the server sent.
        codes: The code of each class.
        names: The name of each class: an answer that is exactly one of them, and no code, is taken too.

    Raises:
        UnreadableReply: It has no choices with a message.
    """
    if not isinstance(payload, Mapping):
        raise UnreadableReply("its answer is no JSON object")
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        raise UnreadableReply("there are no choices")
    votes = tuple(_vote(choice, codes, names) for choice in choices[:_MOST_CHOICES])
    usage = payload.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    return Reply(votes, _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))


def vote_probabilities(votes: Sequence[int], n_classes: int) -> FloatArray | None:
    """Probabilities from votes, (n_classes,); None where no vote fits a class.

    >>> vote_probabilities([0, 0, 1, UNFIT], 2).round(3).tolist()
    [0.643, 0.357]
    """
    counts = np.bincount([vote for vote in votes if vote != UNFIT], minlength=n_classes).astype(np.float64)
    if not counts.sum():
        return None
    counts += SMOOTHING / n_classes
    return np.asarray(counts / counts.sum())


def answered_class(content: str, codes: Sequence[str], names: Sequence[str] = ()) -> int:
    """The class that an answer is: its code, or exactly its name, whatever quotes or full stops stand around it.

    >>> [answered_class(said, ["A", "B"], ["spam", "ham"]) for said in ("b.", "Ham", "A or B", "")]
    [1, 1, -1, -1]
    """
    said = content.strip(_AROUND).casefold()
    by_code = [i for i, code in enumerate(codes) if code.casefold() == said]
    if by_code:
        return by_code[0]
    by_name = [i for i, name in enumerate(names) if name.strip(_AROUND).casefold() == said]
    return by_name[0] if said and len(by_name) == 1 else UNFIT


def code_probabilities(tokens: Sequence[Any], codes: Sequence[str]) -> FloatArray | None:
    """Probabilities of the classes by the log-probabilities of an answer's tokens, (n_classes,).

    A code of several tokens is followed along the tokens that were answered: the alternatives at each place count with
    the probability of having come that far. An alternative that only begins some codes is shared out evenly among them.

    Args:
        tokens: The entries of ``logprobs.content``: token, logprob and top_logprobs of each place.
        codes: The code of each class, none the beginning of another.

    Returns:
        None where no token there is, or begins, a code.
    """
    weights = np.zeros(len(codes))
    folded = [code.casefold() for code in codes]
    written, come_so_far = "", 1.0
    for entry in list(tokens)[:_MOST_TOKENS]:
        answered = _token(entry)
        if answered is None:
            return None
        for token, probability in {**_alternatives(entry), answered[0]: answered[1]}.items():
            said = (written + token).strip(_AROUND).casefold()
            if said in folded:
                weights[folded.index(said)] += come_so_far * probability
            elif said and token != answered[0]:
                begun = [i for i, code in enumerate(folded) if code.startswith(said)]
                weights[begun] += come_so_far * probability / max(len(begun), 1)
        written += answered[0]
        come_so_far *= answered[1]
        said = written.strip(_AROUND).casefold()
        if said and (said in folded or not any(code.startswith(said) for code in folded)):
            break
    if not weights.sum() > 0:
        return None
    shares = np.maximum(weights / weights.sum(), LEAST_PROBABILITY)
    return np.asarray(shares / shares.sum())


def _vote(choice: Any, codes: Sequence[str], names: Sequence[str]) -> Vote:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        raise UnreadableReply("a choice has no message")
    content = message.get("content")
    if not isinstance(content, str):  # refusals and calls of tools have none
        return Vote(UNFIT)
    label = answered_class(content, codes, names)
    by_code = label != UNFIT and content.strip(_AROUND).casefold() == codes[label].casefold()
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not by_code or not isinstance(tokens, list) or not tokens:
        return Vote(label)
    return Vote(label, code_probabilities(tokens, codes))


def _token(entry: Any) -> tuple[str, float] | None:
    """A token and its probability; None where the entry is not one."""
    if not isinstance(entry, Mapping):
        return None
    token, logprob = entry.get("token"), entry.get("logprob")
    if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    if logprob != logprob or logprob > 1e-3:  # NaN, or more than certain
        return None
    return token, math.exp(min(max(logprob, -1e4), 0.0))  # JSON's integers know no size


def _alternatives(entry: Mapping[str, Any]) -> dict[str, float]:
    listed = entry.get("top_logprobs")
    read = [_token(other) for other in listed[:_MOST_ALTERNATIVES]] if isinstance(listed, list) else []
    return dict(pair for pair in read if pair is not None)


def _count(value: Any) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_COUNTED
    return int(value) if good else None
