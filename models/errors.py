"""The errors of this package: each carries its values and says what to do next."""

from __future__ import annotations

from collections.abc import Sequence


class ModelError(Exception):
    """Anything in encoding, training or exporting that the caller can act on."""

    def __init__(self, detail: str):
        super().__init__(detail)
        self.detail = detail


class BadInput(ModelError):
    """Arrays or items that cannot be used as they are."""


class NotFitted(ModelError):
    """Something was asked of a model that has learned nothing yet."""

    def __init__(self, what: str):
        super().__init__(f"{what} is not fitted yet: call fit() or load its saved state first.")
        self.what = what


class UnknownEncoder(ModelError):
    """No encoder of that name for that kind of item."""

    def __init__(self, name: str, known: Sequence[str], task: str | None = None):
        where = f" for {task} items" if task else ""
        super().__init__(f"There is no encoder {name!r}{where}; use one of: {', '.join(known)}.")
        self.name = name
        self.known = tuple(known)
        self.task = task


class MissingExtra(ModelError):
    """An optional part is not installed; ``extra`` is the one that brings it."""

    def __init__(self, what: str, extra: str):
        super().__init__(f'{what} needs an optional part: pip install -e ".[{extra}]"')
        self.what = what
        self.extra = extra


class CorruptModel(ModelError):
    """A file of weights or state is not what it should be."""

    def __init__(self, path: str, why: str):
        super().__init__(f"{path} cannot be used: {why.removesuffix('.')}. Delete it, or install it again.")
        self.path = path
        self.why = why


class UnusableModel(ModelError):
    """A registered model must not, or cannot, be loaded; ``why`` says what to do."""

    def __init__(self, name: str, why: str):
        super().__init__(f"The encoder {name!r} cannot be used: {why}")
        self.name = name
        self.why = why


class ParityError(ModelError):
    """A compressed student does not predict what the uncompressed one does; ``reason`` has the figures."""

    def __init__(self, reason: str):
        super().__init__(f"The export would not predict what the student predicts: {reason}.")
        self.reason = reason


class UnusableClassifier(ModelError):
    """A registered classifier cannot be built, or not be trained on these labels; ``why`` says what is wrong."""

    def __init__(self, name: str, why: str):
        super().__init__(f"The classifier {name!r} cannot be used: {why}. Change its entry in WINNOW_CLASSIFIERS.")
        self.name = name
        self.why = why
