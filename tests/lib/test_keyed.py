"""Random streams that depend on their key."""

from backfire.keyed import keyed_rng


def test_random_streams_depend_on_the_whole_key_and_nothing_else():
    first = keyed_rng(0, "full_hard", "test").integers(1 << 60, size=4).tolist()
    keyed_rng(0, "other").random(100)
    assert keyed_rng(0, "full_hard", "test").integers(1 << 60, size=4).tolist() == first
    assert keyed_rng(0, "full_hardt", "est").integers(1 << 60, size=4).tolist() != first
    assert keyed_rng(1, "full_hard", "test").integers(1 << 60, size=4).tolist() != first
