"""What the replies of a language model mean."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from models.llm.prompts import class_codes
from models.llm.replies import (
    UNFIT,
    UnreadableReply,
    answered_class,
    code_probabilities,
    read_reply,
    vote_probabilities,
)

CODES = ("A", "B", "C")


def place(answered: str, **shares: float) -> dict[str, Any]:
    top = [{"token": token, "logprob": math.log(share)} for token, share in shares.items()]
    return {**next(entry for entry in top if entry["token"] == answered), "top_logprobs": top}


def reply(content: Any, tokens: Any = None, **more: Any) -> dict[str, Any]:
    logprobs = None if tokens is None else {"content": tokens}
    return {"choices": [{"message": {"content": content}, "logprobs": logprobs}], **more}


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("A", 0), (" b\n", 1), ("**C**.", 2), ('"A"', 0), ("spam", 0), ("News.", 2),
        ("", UNFIT), ("D", UNFIT), ("A or B", UNFIT), ("The answer is A", UNFIT), ("AB", UNFIT), ("spam!", UNFIT),
    ],
)  # fmt: skip
def test_an_answer_is_a_code_or_a_name_or_fits_nothing(said: str, label: int) -> None:
    assert answered_class(said, CODES, ("spam", "ham", "news")) == label


def test_a_name_that_is_the_code_of_another_class_is_read_as_the_code() -> None:
    assert answered_class("B", ("A", "B"), ("B", "A")) == 1
    assert answered_class("x", ("A", "B"), ("x", "X")) == UNFIT


def test_tokens_that_mean_the_same_code_add_up_and_others_do_not_count() -> None:
    found = code_probabilities([place("A", **{"A": 0.4, " a": 0.2, "B": 0.2, "The": 0.2})], CODES)
    assert found is not None
    assert found[:2].round(3).tolist() == [0.75, 0.25]
    assert found[2] == pytest.approx(1e-4, rel=0.01)
    assert found.sum() == pytest.approx(1)


def test_codes_of_several_tokens_are_followed() -> None:
    codes = class_codes(30)  # 10 … 39
    tokens = [place("1", **{"1": 0.8, "2": 0.2}), place("2", **{"2": 0.75, "3": 0.25})]
    found = code_probabilities(tokens, codes)
    assert found is not None
    assert found[codes.index("12")] == pytest.approx(0.6, abs=0.01)
    assert found[codes.index("13")] == pytest.approx(0.2, abs=0.01)
    assert found[codes.index("25")] == pytest.approx(0.02, abs=0.001)  # a tenth of what begins with a 2


def test_what_begins_codes_at_a_later_place_counts_with_having_come_that_far() -> None:
    codes = class_codes(100)  # 100 … 199
    ways = [{"1": 0.8, "7": 0.2}, {"0": 0.75, "2": 0.25}, {"5": 1.0}]
    found = code_probabilities([place(next(iter(way)), **way) for way in ways], codes)
    assert found is not None
    assert found[codes.index("105")] == pytest.approx(0.75, abs=0.01)
    assert found[codes.index("120")] == pytest.approx(0.025, abs=0.001)


def test_a_code_of_one_token_among_many_is_found_at_once() -> None:
    codes = class_codes(30)
    found = code_probabilities([place("12", **{"12": 0.9, "21": 0.1}), place("\n", **{"\n": 1.0})], codes)
    assert found is not None
    assert found[codes.index("12")] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    "tokens",
    [
        [{}],
        ["A"],
        [None],
        [{"token": "A", "logprob": float("nan")}],
        [{"token": "A", "logprob": "0"}],
        [{"token": 1, "logprob": 0}],
        [{"token": "A", "logprob": 5}],
        [{"token": "x", "logprob": 0.0, "top_logprobs": 7}],
    ],
)
def test_tokens_that_say_nothing_give_no_probabilities(tokens: list[Any]) -> None:
    assert code_probabilities(tokens, CODES) is None


def test_numbers_without_bounds_do_no_harm() -> None:
    huge = json.loads(
        '[{"token": "A", "logprob": -1' + "0" * 400 + ', "top_logprobs": [{"token": "B", "logprob": 0}]}]'
    )
    found = code_probabilities(huge, CODES)
    assert found is not None
    assert found.argmax() == 1


def test_a_reply_with_log_probabilities_tells_the_class_and_how_sure_it_is() -> None:
    read = read_reply(
        reply("B", [place("B", A=0.25, B=0.75)], usage={"prompt_tokens": 90, "completion_tokens": 1}), CODES
    )
    assert (read.votes[0].label, read.tokens_in, read.tokens_out) == (1, 90, 1)
    assert read.votes[0].probabilities is not None
    assert read.votes[0].probabilities[1] == pytest.approx(0.75, abs=0.01)


def test_without_log_probabilities_there_are_only_votes() -> None:
    read = read_reply({"choices": [{"message": {"content": said}} for said in ("A", "C", "no")]}, CODES)
    assert [(vote.label, vote.probabilities) for vote in read.votes] == [(0, None), (2, None), (UNFIT, None)]
    assert (read.tokens_in, read.tokens_out) == (None, None)


def test_an_answer_by_name_has_no_probabilities_for_its_tokens_are_no_codes() -> None:
    read = read_reply(reply("spam", [place("A", A=1.0)]), CODES, ("spam", "ham", "news"))
    assert (read.votes[0].label, read.votes[0].probabilities) == (0, None)


@pytest.mark.parametrize(
    "usage",
    [None, 7, {}, {"prompt_tokens": -1}, {"prompt_tokens": True}, {"prompt_tokens": 10**12}, {"prompt_tokens": "9"}],
)
def test_a_count_of_tokens_that_cannot_be_is_none(usage: Any) -> None:
    assert read_reply(reply("A", usage=usage), CODES).tokens_in is None


@pytest.mark.parametrize(
    "payload", [None, [], "A", {}, {"choices": []}, {"choices": {}}, {"choices": [1]}, {"choices": [{"message": "A"}]}]
)
def test_what_is_no_chat_completion_is_refused(payload: Any) -> None:
    with pytest.raises(UnreadableReply, match="sent no chat completion"):
        read_reply(payload, CODES)


@pytest.mark.parametrize("content", [None, ["A"], 1])
def test_a_message_without_text_fits_nothing(content: Any) -> None:
    assert read_reply(reply(content), CODES).votes[0].label == UNFIT


def test_votes_are_smoothed_and_those_that_fit_nothing_are_left_out() -> None:
    found = vote_probabilities([0, 0, 2, UNFIT], 4)
    assert found is not None
    assert found.tolist() == pytest.approx([2.125 / 3.5, 0.125 / 3.5, 1.125 / 3.5, 0.125 / 3.5])
    assert vote_probabilities([UNFIT], 4) is None
    assert vote_probabilities([], 4) is None
