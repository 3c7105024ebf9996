"""One thread for small matrices: two spend more time waiting for each other than computing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


@cache
def _controller() -> Any:
    # scikit-learn first: libraries that are loaded later are not found, and looking for them is slow.
    import sklearn.cluster  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def single_thread() -> AbstractContextManager[Any]:
    """BLAS and OpenMP on one thread inside, which also makes sums, and so rankings, the same everywhere."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1)
    return limited
