import numpy as np

from models.length_batches import length_batches


def test_a_batch_holds_texts_of_like_length_and_no_more_tokens_than_a_cache():
    lengths = np.array([200, 3, 300, 100, 100, *[4] * 40])
    batches = length_batches(lengths)
    assert [lengths[batch].tolist() for batch in batches] == [[3, *[4] * 31], [4] * 9, [100, 100], [200], [300]]
    assert sorted(np.concatenate(batches).tolist()) == list(range(45))


def test_a_text_that_is_longer_than_a_batch_runs_by_itself():
    assert [batch.tolist() for batch in length_batches(np.array([700, 600]))] == [[1], [0]]


def test_a_short_text_is_not_filled_up_to_a_long_one():
    assert [batch.tolist() for batch in length_batches(np.array([256, 10, 256, 12]))] == [[1, 3], [0, 2]]
