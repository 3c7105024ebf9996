"""The errors of the sampler: bad input, named, with what to do about it."""

from __future__ import annotations


class SamplerError(ValueError):
    """Input that cannot be ranked. Everything that the sampler raises on purpose is one."""


class InvalidInput(SamplerError):
    """An array with the wrong shape or with values that mean nothing (NaN, negative, not summing to one).

    Attributes:
        name: Which input is at fault.
        reason: What is wrong with it, and what to hand in instead.
    """

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class MissingInput(SamplerError):
    """A strategy was asked to rank without something that it needs.

    Attributes:
        strategy: The strategy's name.
        needs: What is missing.
    """

    def __init__(self, strategy: str, needs: str):
        super().__init__(f"The strategy '{strategy}' needs {needs}; hand it in with the query context.")
        self.strategy = strategy
        self.needs = needs


class UnknownStrategy(SamplerError):
    """No strategy has that name.

    Attributes:
        name: What was asked for.
        known: The names that exist.
    """

    def __init__(self, name: str, known: tuple[str, ...]):
        super().__init__(f"No query strategy is called '{name}'; choose one of {', '.join(known)}.")
        self.name = name
        self.known = known


class NotShardable(SamplerError):
    """A strategy cannot be ranked in parts.

    Attributes:
        strategy: The strategy's name.
        reason: Why, and what to do instead.
    """

    def __init__(self, strategy: str, reason: str):
        super().__init__(f"The strategy '{strategy}' cannot be ranked in parts: {reason}.")
        self.strategy = strategy
        self.reason = reason


class MissingExtra(SamplerError):
    """A strategy comes from a library that is not installed.

    Attributes:
        library: The library's module.
        extra: The extra that brings it.
    """

    def __init__(self, library: str, extra: str):
        super().__init__(f"{library} is not installed; install the extra '{extra}': pip install -e '.[{extra}]'")
        self.library = library
        self.extra = extra
