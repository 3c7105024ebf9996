"""Feature matching: what it adds to the loss, and for which rows."""

import numpy as np
import pytest
import torch

from models.errors import BadInput
from models.matching import make_match
from tests.models.small_students import text_student
from tests.models.tiny_trunks import DIM, transformer_student


def generator():
    return torch.Generator().manual_seed(0)


def network():
    student = transformer_student("transformer-2")
    return type(student.network).restore(student.arrays()).train()


def added(match, net, batch, rows):
    with torch.no_grad():
        return float(match(net, batch, torch.tensor(rows))[1])


def test_a_state_that_is_the_teacher_s_costs_nothing_and_its_opposite_two():
    net = network()
    batch = net.prepare(["apple", "hammer and nail"]).batch(np.arange(2))
    state = net.states(*batch)[-1].detach().numpy()
    for sign, expected in ((1.0, 0.0), (-1.0, 2.0)):
        match = make_match(net, sign * 3 * state, 2, generator())
        assert added(match, net, batch, [0, 1]) == pytest.approx(expected, abs=1e-5)
        assert torch.allclose(match(net, batch, torch.arange(2))[0], net(*batch))


def test_rows_beyond_the_features_do_not_count():
    net = network()
    batch = net.prepare(["apple", "hammer"]).batch(np.arange(2))
    match = make_match(net, np.ones((5, DIM)), 5, generator())
    assert added(match, net, batch, [5, 6]) == 0
    assert added(match, net, batch, [0, 6]) == pytest.approx(added(match, net, (batch[0][:1],), [0]), abs=1e-5)


def test_features_for_each_layer_are_matched_with_each_and_averaged():
    net = network()
    batch = net.prepare(["apple", "hammer"]).batch(np.arange(2))
    first, last = (state.detach().numpy() for state in net.states(*batch))
    match = make_match(net, np.stack([-first, last], axis=1), 2, generator())
    assert added(match, net, batch, [0, 1]) == pytest.approx(1.0, abs=1e-5)


def test_features_of_another_width_are_reached_through_a_projection():
    match = make_match(network(), np.ones((4, 5)), 4, generator())
    [projection] = match.projections
    assert tuple(projection.weight.shape) == (5, DIM)
    assert match.optimisers()[0].param_groups[0]["params"] == list(projection.parameters())


def test_there_is_no_match_without_features_or_states():
    assert make_match(network(), None, 3, generator()) is None
    assert make_match(text_student().network, np.ones((3, 2)), 3, generator()) is None


@pytest.mark.parametrize("features", [np.ones((2, 4)), np.ones(3), np.full((3, 2), np.nan)])
def test_features_that_do_not_fit_are_refused(features):
    with pytest.raises(BadInput, match=r"shape \(3, d\)"):
        make_match(network(), features, 3, generator())
