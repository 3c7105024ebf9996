"""Stats of a project."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Measured(BaseModel):
    """A share with its 95 % interval and the labels that it was measured on."""

    value: float
    low: float | None
    high: float | None
    labels: int


class CurvePoint(BaseModel):
    """What one round reached; `accuracy` is the student's."""

    round: int
    labels: int
    accuracy: Measured | None
    teacher_accuracy: Measured | None
    student: int | None
    at: str


class Annotator(BaseModel):
    """What one person has done, as it stands now."""

    user: str
    labels: int
    skipped: int
    flagged: int
    mean_seconds: float | None


class Encoding(BaseModel):
    """An encoding that is under way."""

    progress: float
    message: str


class Freshness(BaseModel):
    """What ranked the queue, how many labels it does not know, and when the next round comes, in labels."""

    round: int
    labels_behind: int
    next_round_in: int
    training: bool
    encoding: Encoding | None
    encoded: int
    cut_share: float | None = Field(description="The share of encoded texts that were longer than the encoder reads.")
    trouble: str | None = Field(description="Why the last round or encoding failed; null where it did not.")


class Language(BaseModel):
    """A language of a sample of the pool's texts, and its share."""

    language: str = Field(description="Its code (ISO 639).")
    name: str
    share: float


class Languages(BaseModel):
    """What a look at a sample of the pool's texts found."""

    sample: int = Field(description="So many texts were looked at.")
    found: list[Language] = Field(description="The commonest, at most five.")
    unclear: float = Field(description="The share of texts that are too short to tell, or in no language.")
    known: list[str] = Field(description="Codes of the languages that the encoder was trained on.")


class EncoderChoice(BaseModel):
    """Why `auto` took an encoder."""

    encoder: str
    losses: dict[str, float] = Field(description="Cross-validated log-loss of each encoder that was compared.")
    tested: int = Field(description="On so many labels.")
    labels: int = Field(description="So many labels there were.")
    why: str
    present: str | None = Field(None, description="The encoder that the project had; null where it was not noted.")
    gain: float | None = Field(None, description="By how much the other one's log-loss is below the present one's.")
    needed: float | None = Field(None, description="By how much it had to be below for the other one to be taken.")


class EncoderFacts(BaseModel):
    """The encoder, what it cannot read to its end, and the languages of the texts."""

    name: str
    cut_share: float | None
    languages: Languages | None = Field(description="Null where it reads any language, and before anybody looked.")
    choice: EncoderChoice | None = Field(description="Null until something was compared, and where settings name one.")
    words: list[str] = Field(description="What people should know of it; empty where all is well.")


class Difference(BaseModel):
    """A share or a mean in the pool and among the newest items, and the 95 % interval of the difference."""

    pool: float
    new: float
    low: float
    high: float


class Drift(BaseModel):
    """How the newest items differ from the pool, as the student sees both."""

    items: int = Field(description="How many items the newest stretch has.")
    since: str
    version: int
    against: str = Field(description="`holdout`, or `pool` where that is too small.")
    compared: list[int] = Field(description="So many of the pool, and of the newest items, were looked at.")
    p_value: float = Field(description="Of no difference between the two in the student's probabilities.")
    drifted: bool
    classes: dict[str, Difference] = Field(
        description="Shares of the classes, by the student; intervals hold together."
    )
    confidence: Difference
    novelty: Difference = Field(description="The share of items that are unlike 95 % of the pool.")
    words: str


class StatsOut(BaseModel):
    """How a project stands. `remaining` items still need labels; null is what is not measured or not there yet."""

    items: int
    labeled: int
    skipped: int
    flagged: int
    remaining: int
    model_labels: int = Field(description="Standing labels that a student gave: counted nowhere else.")
    per_label: dict[str, int]
    per_annotator: dict[str, int]
    annotators: list[Annotator]
    learning_curve: list[CurvePoint]
    freshness: Freshness
    accuracy: Measured | None
    holdout_labels: int
    holdout_items: int = Field(description="How many items are held out for measuring, labelled ones included.")
    agreement: None
    labels_saved: None
    encoder: EncoderFacts | None = Field(description="Null before anything is encoded.")
    drift: Drift | None = Field(description="Null until there is a student and a stretch that came later.")
    ledger: dict[str, Any]
    budget: None
