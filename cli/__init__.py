"""The ``winnow`` command: the composition root, and the supervisor."""
