"""Mixed items carry the targets of both, each by its share."""

import numpy as np
import torch

from models.augmentation import mix_pairs

TARGET = torch.eye(4)
WEIGHT = torch.tensor([1.0, 2.0, 1.0, 1.0])


def test_mixing_nothing_changes_and_draws_nothing():
    batch = (torch.ones(4, 2),)
    rng = np.random.default_rng(0)
    mixed = mix_pairs(batch, TARGET, WEIGHT, 0.0, rng)
    assert mixed[0] is batch
    assert (mixed[1] is TARGET, mixed[2] is WEIGHT) == (True, True)
    assert rng.random() == np.random.default_rng(0).random()


def test_vectors_are_averaged_as_their_targets_are():
    X = torch.eye(4)  # each item is its own target, so what comes out must agree
    (mixed,), target, weight = mix_pairs((X,), TARGET, WEIGHT, 1.0, np.random.default_rng(2))
    assert torch.allclose(mixed, target)
    assert (target.max(1).values >= 0.5).all()
    assert not torch.equal(target, TARGET)
    own = target.diagonal()
    partner_is_second = target[:, 1] > 0
    assert torch.allclose(weight[0], own[0] * 1.0 + (1 - own[0]) * (2.0 if partner_is_second[0] else 1.0))


def test_bags_are_laid_together_and_count_by_their_length():
    ids, offsets = torch.tensor([5, 6, 6, 7, 8, 8]), torch.tensor([0, 1, 3, 3])  # lengths 1, 2, 0, 3
    own_ids = [{5}, {6}, set(), {7, 8}]
    counts = [1, 2, 0, 3]
    (mixed, begins), target, _ = mix_pairs((ids, offsets), TARGET, WEIGHT, 1.0, np.random.default_rng(3))
    ends = [*begins.tolist()[1:], len(mixed)]
    changed = 0
    for item, (begin, end) in enumerate(zip(begins.tolist(), ends, strict=True)):
        found = mixed[begin:end].tolist()
        partner = next((k for k in range(4) if k != item and target[item, k] > 0), None)
        if partner is None:
            assert target[item, item] == 1.0
            continue
        changed += 1
        assert len(found) == counts[item] + counts[partner]
        assert set(found) == own_ids[item] | own_ids[partner]
        assert float(target[item, item]) == np.float32(counts[item] / len(found))
    assert changed
