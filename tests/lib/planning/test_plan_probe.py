"""The probe on the real base model: what it measures is there; how fast this machine is, is nobody's claim."""

import pytest

from backfire.encoders.encoder import load_encoder
from backfire.planning.probe import measure, probed_rows, words
from backfire.training.steps import HELD_TOKENS

VARIANT = {"batch_size": 2, "max_length": 16, "dropout": None, "precision": "auto", "texts": 3}
LORA = {"rank": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["query"]}


def test_generated_texts_have_the_tokens_asked_for(base_model):
    texts = [words(count, row) for row, count in enumerate((3, 10, 76, 254))]
    tokens = load_encoder(base_model, "fp32").tokenize(texts, "document", 256)
    assert tokens.lengths.tolist() == [3, 10, 76, 254]
    assert len({words(20, row) for row in range(30)}) > 20


@pytest.fixture(scope="module")
def rates(base_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    variants = {"full": VARIANT | {"method": "full"}, "lora": VARIANT | {"method": "lora", "lora": LORA}}
    variants["again"] = variants["full"] | {"triples": "other"}
    variants["several"] = variants["full"] | {"texts": 12}
    found = measure(
        str(base_model), [], 20, {"precision": "auto", "max_length": 32, "batch_tokens": 512}, variants, 10, folder
    )
    assert list(folder.iterdir()) == []
    return found


def test_everything_is_measured(rates):
    assert rates.dimensions == 384
    for value in (
        rates.tokens_per_second,
        rates.query_tokens_per_second,
        rates.written_per_second,
        *rates.step.values(),
    ):
        assert value > 0
    assert rates.seconds_per_pair >= 0
    assert rates.seconds_per_merge >= 0


def test_variants_whose_steps_cost_the_same_are_measured_once(rates):
    assert rates.step["again"] == rates.step["full"] != rates.step["lora"]
    # Another number of passages an example is a measurement of its own.
    assert rates.step["several"] not in (rates.step["full"], rates.step["lora"])


def test_a_large_batch_is_measured_on_a_part_that_is_embedded_twice_as_it_is(base_model, tmp_path, monkeypatch):
    assert probed_rows(32, 200, 16_384) == 32
    assert probed_rows(164, 200, 16_384) == probed_rows(1024, 200, 16_384) == 164
    monkeypatch.setitem(HELD_TOKENS, "cpu", 64)
    monkeypatch.setitem(HELD_TOKENS, "cuda", 64)
    several = {name: VARIANT | {"method": "full", "batch_size": rows} for name, rows in (("few", 4), ("many", 4000))}
    encoding = {"precision": "auto", "max_length": 32, "batch_tokens": 512}
    step = measure(str(base_model), [], 12, encoding, several, 10, tmp_path).step
    assert step["many"] > 100 * step["few"]
