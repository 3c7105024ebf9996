"""Scenarios: how the service behaves in a whole story. Each is ``python -m bench.scenarios.NAME [--json]``."""
