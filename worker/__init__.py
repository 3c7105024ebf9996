"""Celery workers: the round, imports, encoding and exports."""
