"""Means of table rows and their optimiser do what torch's own do, to within rounding."""

import numpy as np
import pytest
import torch
from torch import nn

from models.students.bag import Bag, RowAdam, first_seen


def bags(rng, n_items=30, rows=50):
    """Ids with repeats within and between items, an item without any, and some padding."""
    counts = rng.integers(0, 9, n_items)
    counts[3] = 0
    ids = rng.integers(0, rows, counts.sum())
    return torch.from_numpy(ids), torch.from_numpy(np.cumsum(counts) - counts)


def pair(rows=50, dim=6):
    """Our table and torch's, with the same weights."""
    ours, theirs = Bag(rows, dim), nn.EmbeddingBag(rows, dim, mode="mean", sparse=True, padding_idx=0)
    with torch.no_grad():
        theirs.weight.normal_(generator=torch.Generator().manual_seed(1))
        theirs.weight[0] = 0
        ours.weight.copy_(theirs.weight)
    return ours, theirs


def test_the_mean_is_that_of_the_rows_and_padding_counts_for_nothing():
    bag = Bag(4, 2)
    with torch.no_grad():
        bag.weight.copy_(torch.tensor([[9.0, 9.0], [1.0, 2.0], [3.0, 6.0], [5.0, 5.0]]))
    means = bag(torch.tensor([1, 2, 0, 0, 3]), torch.tensor([0, 3, 4, 5]))
    assert means.tolist() == [[2.0, 4.0], [0.0, 0.0], [5.0, 5.0], [0.0, 0.0]]
    assert (bag.num_embeddings, bag.embedding_dim) == (4, 2)


def test_training_a_table_goes_as_with_torch():
    rng = np.random.default_rng(0)
    ours, theirs = pair()
    optimisers = RowAdam([ours.weight], lr=0.03), torch.optim.SparseAdam([theirs.weight], lr=0.03)
    target = torch.from_numpy(rng.normal(size=(30, 6)).astype(np.float32))
    for _ in range(20):
        ids, offsets = bags(rng)
        for bag, optimiser in zip((ours, theirs), optimisers, strict=True):
            optimiser.zero_grad()
            ((bag(ids, offsets) - target) ** 2).sum().backward()
            optimiser.step()
    np.testing.assert_allclose(ours.weight.detach(), theirs.weight.detach(), atol=1e-5)
    assert not ours.weight[0].any()


@pytest.mark.parametrize("layer", [nn.Embedding(5, 2, sparse=True), nn.EmbeddingBag(5, 2, mode="sum", sparse=True)])
def test_gradients_of_torchs_layers_are_added_up_over_repeated_rows(layer):
    twin = type(layer).from_pretrained(layer.weight.detach().clone(), freeze=False, sparse=True, **(
        {"mode": "sum"} if isinstance(layer, nn.EmbeddingBag) else {}
    ))  # fmt: skip
    for each, optimiser in ((layer, RowAdam(layer.parameters(), lr=0.1)), (twin, torch.optim.SparseAdam(twin.parameters(), lr=0.1))):  # fmt: skip # noqa: E501
        each(torch.tensor([[4, 1, 4]])).square().sum().backward()
        optimiser.step()
    np.testing.assert_allclose(layer.weight.detach(), twin.weight.detach(), atol=1e-6)


def test_rows_that_are_not_touched_rest_with_their_moments():
    bag = Bag(4, 1)
    optimiser = RowAdam([bag.weight], lr=0.1)
    for touched in (1, 2, 2):
        optimiser.zero_grad()
        bag(torch.tensor([touched]), torch.tensor([0])).sum().backward()
        before = bag.weight.detach().clone()
        optimiser.step()
        moved = (bag.weight.detach() != before).ravel().nonzero().ravel().tolist()
        assert moved == [touched]
    assert optimiser.state[bag.weight]["step"] == 3
    assert optimiser.state[bag.weight]["moments"][1] == pytest.approx([0.1, 0.001])


def test_each_id_is_found_once_and_its_places_lead_back():
    ids = np.random.default_rng(0).integers(0, 40, 200)
    touched, place = first_seen(ids, 40)
    assert sorted(touched.tolist()) == np.unique(ids).tolist()
    assert touched[place].tolist() == ids.tolist()
    assert first_seen(ids[:0], 40)[0].tolist() == []


def test_dense_gradients_and_impossible_settings_are_refused():
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones(2, 2)
    with pytest.raises(ValueError, match="sparse gradients"):
        RowAdam([weight]).step()
    with pytest.raises(ValueError, match="must be positive"):
        RowAdam([weight], lr=0.0)
    with pytest.raises(ValueError, match="no closure"):
        RowAdam([weight]).step(lambda: 0.0)
