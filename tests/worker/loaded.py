"""What jobs load as they begin, loaded: a process that is forked from one with this module begins them at once."""

from __future__ import annotations

import threading

import celery.bin.worker
import celery.worker
import pandas
import scipy.stats
import sklearn.linear_model
import sklearn.model_selection

import worker.app
import worker.main
import worker.reaper
import worker.tasks.encode
import worker.tasks.imports
import worker.tasks.rounds

__all__ = ["celery", "pandas", "scipy", "sklearn", "worker"]

assert threading.active_count() == 1, "a thread is not there after a fork"
