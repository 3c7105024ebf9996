"""Batches of texts of about the same length."""

from __future__ import annotations

import numpy as np

from models.finetune.batches import LengthBatches

LENGTHS = np.arange(1, 38) % 11 + 1


def joined(batches):
    return [row for batch in batches for row in batch]


def epoch_of(batches, epoch):
    batches.set_epoch(epoch)
    return list(batches)


def test_each_epoch_deals_every_row_once_and_the_short_batch_last():
    batches = LengthBatches(LENGTHS, 8, 8, seed=1)
    for epoch in (0, 1):
        dealt = epoch_of(batches, epoch)
        assert sorted(joined(dealt)) == list(range(37))
        assert [len(batch) for batch in dealt] == [8, 8, 8, 8, 5]
        assert len(dealt) == len(batches)
    assert epoch_of(batches, 0) != epoch_of(batches, 1)
    assert epoch_of(batches, 0) == epoch_of(LengthBatches(LENGTHS, 8, 8, seed=1), 0)


def test_parts_of_a_batch_are_the_same_batches_whatever_the_memory():
    whole = epoch_of(LengthBatches(LENGTHS, 8, 8, seed=1), 3)
    parts = LengthBatches(LENGTHS, 8, 3, seed=1)
    dealt = epoch_of(parts, 3)
    assert [len(part) for part in dealt] == [3, 3, 2] * 4 + [3, 2]
    assert len(parts) == len(dealt)
    assert [joined(dealt[first : first + 3]) for first in range(0, 14, 3)] == whole


def test_rows_of_a_batch_are_of_about_the_same_length():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 100, size=256)
    spread = [np.ptp(lengths[batch]) for batch in LengthBatches(lengths, 16, 16, seed=0)]
    assert np.mean(spread) < 15  # of a random batch: about 88
