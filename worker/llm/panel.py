"""The asking itself: which questions are still to be paid for, the calls, and each answer kept as it comes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog

from models.llm.answers import Answers
from models.llm.prompts import PROMPT_VERSION, Example, LabelingTask, class_codes, prompt_messages
from models.llm.replies import UNFIT, Reply, UnreadableReply, read_reply, vote_probabilities
from winnow import llm_answers
from winnow.db.tables import Project
from winnow.errors import LostJob
from winnow.jobs import Interrupted, JobContext
from winnow.llm_answers import SETTLED, BudgetSpent, Limit, Question, Usage
from winnow.llm_endpoints import LlmEndpoint
from worker.base import Runtime
from worker.llm.asking import PREFIX, Asked, Known, RowQuestion
from worker.llm.client import CallFailed, ChatClient
from worker.round_inputs import Rows

log = structlog.get_logger(__name__)
LOOK_SECONDS = 0.25
"""How often it is looked whether to stop."""
MOST_FAILURES = 3
"""After so many questions in a row without an answer no more is asked in this round."""
BYTES_A_TOKEN = 3
"""For estimates: about four bytes of English are a token, and about three of Chinese."""
_MESSAGE_TOKENS = 8


@dataclass
class _Pending:
    """A question that has no answer yet, as it is sent."""

    asked: Question
    messages: list[dict[str, str]]
    votes: list[int] = field(default_factory=list)


@dataclass
class _Course:
    """How the asking goes."""

    total: int
    done: int = 0
    failed: int = 0
    in_a_row: int = 0
    stopped: str | None = None
    logprobs: bool = True


class LlmPanel:
    """One registered language model and one project, for one attempt of a round."""

    def __init__(
        self, runtime: Runtime, context: JobContext, project: Project, rows: Rows, name: str, endpoint: LlmEndpoint
    ) -> None:
        self._runtime = runtime
        self._context = context
        self._project = project
        self._rows = rows
        self._short_name = name
        self._endpoint = endpoint
        self._classes = tuple((str(entry["name"]), str(entry.get("description") or "")) for entry in project.labels)
        self._task = LabelingTask(self._classes, project.guidelines, endpoint.max_text_chars)
        self._codes = class_codes(len(self._classes))
        self._family = _digest(name, endpoint.model, PROMPT_VERSION, self._classes)

    @property
    def name(self) -> str:
        """As the project's settings name it."""
        return f"{PREFIX}{self._short_name}"

    @property
    def model(self) -> str:
        """The model, as its server knows it."""
        return self._endpoint.model

    @property
    def items_per_round(self) -> int:
        """How many rows a round may ask about."""
        return self._endpoint.items_per_round

    @property
    def doubted(self) -> float:
        """The share of unlabelled rows to ask about that the head doubts most."""
        return self._endpoint.doubted

    @property
    def examples(self) -> int:
        """How many labelled rows each question shows."""
        return self._endpoint.examples

    def known(self) -> Known:
        """The answers to the same wording with the same classes, whatever examples and guidelines they had."""
        with self._runtime.database.read() as session:
            kept = llm_answers.family_answers(session, self._project.id, self._family)
        here = self._known_rows(np.array([row.number for row in kept], np.int64))
        said, examples, unfit = {}, {}, []
        for answer, row in zip(kept, here.tolist(), strict=True):
            if row < 0:
                continue
            if answer.probabilities is None:
                unfit.append(row)
                continue
            said[row] = answer.probabilities
            shown = self._known_rows(np.array(answer.examples, np.int64))
            examples[row] = shown[shown >= 0]
        return Known(Answers.of(said, examples, len(self._classes)), np.array(unfit, np.int64))

    def ask(self, questions: Sequence[RowQuestion], progress: Callable[[float, str], None]) -> Asked:
        """As :class:`worker.llm.asking.Panel` has it.

        Raises:
            Interrupted, LostJob: The attempt is to stop; calls that are under way are dropped.
        """
        posed = [self._posed(question) for question in questions]
        digests = [pending.asked.question for pending in posed]
        with self._runtime.database.read() as session:
            found = llm_answers.find(session, self._project.id, digests)
        for pending in posed:
            if pending.asked.question in found:
                pending.votes = list(found[pending.asked.question].votes)
        open_ = [pending for pending in posed if not _is_settled(found.get(pending.asked.question))]
        course = _Course(len(open_), logprobs=self._endpoint.logprobs)
        if open_:
            asyncio.run(self._ask(open_, course, progress))
        with self._runtime.database.read() as session:
            usage = llm_answers.usage_of(session, self._project.id, digests)
            spent = llm_answers.spent(session, self._project.id, self._endpoint.currency)
        log.info("round.asked", teacher=self.name, questions=course.done, stopped=course.stopped, calls=usage.calls)
        return Asked(course.stopped, course.failed, self._priced(usage), self._priced(spent))

    # --- asking ----------------------------------------------------------------------------------------------------

    async def _ask(self, posed: Sequence[_Pending], course: _Course, progress: Callable[[float, str], None]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._endpoint.round_seconds
        waiting = iter(posed)
        try:
            client = ChatClient(self._endpoint, random.Random(posed[0].asked.question))
        except CallFailed as failed:
            course.stopped = failed.reason
            return
        async with client:
            count = min(self._endpoint.concurrency, len(posed))
            askers = {asyncio.create_task(self._ask_all(client, waiting, course)) for _ in range(count)}
            try:
                while askers:
                    ended, askers = await asyncio.wait(askers, timeout=LOOK_SECONDS)
                    for asker in ended:
                        asker.result()
                    self._stop_if_told()
                    progress(course.done / course.total, f"{self.name} has answered {course.done} of {course.total}")
                    if askers and loop.time() >= until:
                        seconds = self._endpoint.round_seconds
                        course.stopped = f"the {seconds:g} s that a round may spend on asking are over"
                        return
            finally:
                for asker in askers:
                    asker.cancel()
                await asyncio.gather(*askers, return_exceptions=True)

    def _stop_if_told(self) -> None:
        if self._context.should_stop():
            if self._context.lost:
                raise LostJob("The job was canceled or taken over.")
            raise Interrupted("the worker stops")

    async def _ask_all(self, client: ChatClient, waiting: Iterator[_Pending], course: _Course) -> None:
        """One of those who ask at once: takes the next question until there is none."""
        while course.stopped is None and (pending := next(waiting, None)) is not None:
            try:
                await self._ask_one(client, pending, course)
                course.done += 1
                course.in_a_row = 0
            except BudgetSpent as spent:
                course.stopped = spent.reason
            except CallFailed as failed:
                course.failed += 1
                course.in_a_row += 1
                if failed.for_good or course.in_a_row >= MOST_FAILURES:
                    course.stopped = failed.reason

    async def _ask_one(self, client: ChatClient, pending: _Pending, course: _Course) -> None:
        """Until it has as many votes as it needs, or one with probabilities."""
        needed = self._endpoint.votes
        while len(pending.votes) < needed:
            certain = course.logprobs and not pending.votes
            count = 1 if certain else needed - len(pending.votes)
            reply = await self._call(client, pending, count, logprobs=certain)
            vote = reply.votes[0]
            if certain and vote.probabilities is not None:
                return
            if certain and vote.label != UNFIT:
                course.logprobs = False  # the server gives none: do not ask for them again

    async def _call(self, client: ChatClient, pending: _Pending, count: int, *, logprobs: bool) -> Reply:
        body = self._body(pending.messages, count, logprobs=logprobs)
        estimate = self._estimate(pending.messages, count)
        self._reserve(pending.asked, estimate)
        once = f"{pending.asked.question}-{len(pending.votes)}"
        try:
            answer = await client.complete(body, once)
        except CallFailed as failed:
            self._settle(pending, _times(estimate, failed.unanswered) + -estimate, "failed")
            raise
        try:
            reply = read_reply(answer.payload, self._codes, [name for name, _ in self._classes])
        except UnreadableReply as unreadable:  # it was charged all the same
            self._settle(pending, _times(estimate, answer.unanswered), "failed")
            raise CallFailed(unreadable.detail) from None
        sent = estimate.tokens_in if reply.tokens_in is None else reply.tokens_in
        got = estimate.tokens_out if reply.tokens_out is None else reply.tokens_out
        used = Usage(1, sent, got, self._endpoint.cost(sent, got)) + _times(estimate, answer.unanswered)
        votes = [*pending.votes, *(vote.label for vote in reply.votes)][: self._endpoint.votes]
        pending.votes = votes
        told = reply.votes[0].probabilities if logprobs else None
        probabilities = vote_probabilities(votes, len(self._classes)) if told is None else told
        enough = told is not None or len(votes) >= self._endpoint.votes
        state = "asked" if not enough else "unfit" if probabilities is None else "answered"
        self._settle(pending, used + -estimate, state, None if probabilities is None else probabilities.tolist())
        return reply

    def _reserve(self, asked: Question, estimate: Usage) -> None:
        with self._runtime.database.write() as session:
            self._context.fence(session)  # who was overtaken asks nothing more
            llm_answers.reserve(session, self._project.id, asked, estimate, self._limit)

    def _settle(
        self, pending: _Pending, correction: Usage, state: str, probabilities: Sequence[float] | None = None
    ) -> None:
        with self._runtime.database.write() as session:  # not fenced: it is paid for, whoever goes on
            llm_answers.settle(
                session,
                self._project.id,
                pending.asked.question,
                correction=correction,
                state=state,
                votes=pending.votes,
                probabilities=probabilities,
            )

    # --- parts -----------------------------------------------------------------------------------------------------

    def _posed(self, question: RowQuestion) -> _Pending:
        endpoint = self._endpoint
        shown = [Example(example.text, example.label) for example in question.examples]
        messages = prompt_messages(self._task, shown, question.text)
        sampling = (endpoint.votes, endpoint.temperature, endpoint.logprobs, endpoint.max_tokens, endpoint.extra)
        digest = _digest(self._short_name, endpoint.model, PROMPT_VERSION, messages, sampling)
        numbers = self._rows.numbers(np.array([question.row, *(example.row for example in question.examples)]))
        asked = Question(
            question=digest,
            family=self._family,
            endpoint=self._short_name,
            model=endpoint.model,
            number=int(numbers[0]),
            examples=tuple(numbers[1:].tolist()),
            currency=endpoint.currency,
        )
        return _Pending(asked, messages)

    def _body(self, messages: list[dict[str, str]], count: int, *, logprobs: bool) -> dict[str, Any]:
        endpoint = self._endpoint
        body: dict[str, Any] = {**endpoint.extra, "model": endpoint.model, "messages": messages}
        body[endpoint.max_tokens_name] = endpoint.max_tokens
        body["temperature"] = 0 if logprobs or endpoint.votes == 1 else endpoint.temperature
        if logprobs:
            body |= {"logprobs": True, "top_logprobs": endpoint.top_logprobs}
        if count > 1:
            body["n"] = count
        return body

    def _estimate(self, messages: Sequence[dict[str, str]], count: int) -> Usage:
        sent = sum(math.ceil(len(m["content"].encode()) / BYTES_A_TOKEN) + _MESSAGE_TOKENS for m in messages)
        got = self._endpoint.max_tokens * count
        return Usage(1, sent, got, self._endpoint.cost(sent, got))

    @property
    def _limit(self) -> Limit:
        budget = self._project.settings.get("budget", {})
        costs = [cost for cost in (budget.get("llm_cost"), self._endpoint.project_cost) if cost is not None]
        return Limit(budget.get("llm_calls"), min(costs, default=None))

    def _known_rows(self, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The row of each item; -1 for one that the round does not know."""
        rows = self._rows
        return np.where((numbers < rows.covered) | np.isin(numbers, rows.further), rows.of(numbers), -1)

    def _priced(self, usage: Usage) -> dict[str, Any]:
        return {
            "calls": usage.calls,
            "tokens_in": usage.tokens_in,
            "tokens_out": usage.tokens_out,
            "cost": round(usage.cost, 9),
            "currency": self._endpoint.currency,
        }


def _is_settled(row: Any) -> bool:
    return row is not None and row.state in SETTLED


def _times(usage: Usage, count: int) -> Usage:
    return Usage(usage.calls * count, usage.tokens_in * count, usage.tokens_out * count, usage.cost * count)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def make_panel(runtime: Runtime, context: JobContext, project: Project, rows: Rows) -> LlmPanel | None:
    """The language model that the project's settings name; None where they name none, or it is not registered."""
    teacher = str(project.settings.get("teacher", "auto"))
    name = teacher.removeprefix(PREFIX)
    endpoint = runtime.settings.llm_endpoints.get(name) if teacher.startswith(PREFIX) else None
    return None if endpoint is None else LlmPanel(runtime, context, project, rows, name, endpoint)
