import random
from itertools import combinations

from backfire.datasets.duplicates import groups, near_duplicates, shingles
from backfire.datasets.extraction import read_package


def jaccard(left: set, right: set) -> float:
    return len(left & right) / len(left | right)


def test_the_join_finds_exactly_the_pairs_of_a_comparison_of_all():
    texts = [pair.passage for pair in read_package("peft")]
    vocabulary = {}
    sets = [shingles(text, vocabulary) for text in texts]
    similarity = {(i, j): jaccard(sets[i], sets[j]) for i, j in combinations(range(len(texts)), 2)}
    for threshold in (0.3, 0.5, 0.8):
        expected = [pair for pair, value in similarity.items() if value >= threshold]
        assert len(expected) > 20
        assert sorted(near_duplicates(texts, threshold)) == expected


def test_the_threshold_itself_counts():
    # Ten shingles of which eight are shared by both, and two sets of nine shingles: 8 / 10.
    words = [f"w{i}" for i in range(12)]
    left, right = " ".join(words[:11]), " ".join(words[1:])
    vocabulary = {}
    assert jaccard(shingles(left, vocabulary), shingles(right, vocabulary)) == 0.8
    assert list(near_duplicates([left, right], 0.8)) == [(0, 1)]
    assert list(near_duplicates([left, right], 0.81)) == []


def test_case_and_punctuation_do_not_hide_a_copy_and_short_texts_are_compared():
    assert list(near_duplicates(["Sum, the weights!", "other words here", "sum the WEIGHTS"])) == [(0, 2)]
    assert list(near_duplicates(["sum it", "sum", "Sum."])) == [(1, 2)]


def test_groups_are_connected_and_named_by_their_first_member():
    links = [(4, 2), (2, 7), (1, 3), (7, 0)]
    expected = [0, 1, 0, 1, 0, 5, 6, 0]
    assert groups(8, iter(links)) == expected
    random.Random(0).shuffle(links)
    assert groups(8, iter(links)) == expected
