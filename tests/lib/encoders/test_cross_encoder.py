"""Cross-encoders against sentence-transformers, and models that are none."""

import json
import shutil

import numpy as np
import pytest
import small_models
import torch
from sentence_transformers import CrossEncoder

from backfire.encoders.cross_encoder import load_cross_encoder, prepare_cross_encoder
from backfire.encoders.folders import find_base
from backfire.errors import BackfireError

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = [
    "sort",
    "the",
    "elements",
    "of",
    "an",
    "array",
    "along",
    "an",
    "axis",
    "and",
    "give",
    "a",
    "copy",
    "of",
    "them",
]
PAIRS = [(" ".join(WORDS[i % 7 :][:4]), " ".join(WORDS[j:] * (1 + j))) for i in range(5) for j in range(9)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.cross_encoder(tmp_path_factory.mktemp("cross") / "encoder")


@pytest.mark.parametrize("length", [None, 24])
@pytest.mark.parametrize("by_the_library", [True, False])
def test_scores_are_the_librarys_before_its_activation(tmp_path, by_the_library, length):
    folder = small_models.cross_encoder(tmp_path / "model", by_the_library=by_the_library)
    prepare_cross_encoder(str(folder), None, str(tmp_path / "taken"), "variants.again.model")
    scores = load_cross_encoder(tmp_path / "taken", max_length=length).scores(PAIRS)
    library = CrossEncoder(str(folder), device="cpu", **({} if length is None else {"max_length": length}))
    expected = library.predict(PAIRS)
    assert scores.dtype == np.float32 and np.ptp(scores) > 0.1
    np.testing.assert_allclose(torch.sigmoid(torch.from_numpy(scores)), expected, atol=1e-6)
    if length is None:
        cut = load_cross_encoder(tmp_path / "taken", max_length=24).scores(PAIRS)
        assert not np.allclose(cut, scores), "the longest pairs are cut"


def test_stored_in_half_it_computes_in_single(folder, tmp_path):
    from transformers import AutoModelForSequenceClassification

    half = tmp_path / "half"
    shutil.copytree(folder, half)
    model = AutoModelForSequenceClassification.from_pretrained(folder).half()
    model.save_pretrained(half)
    full = tmp_path / "full"
    shutil.copytree(half, full)
    model.float().save_pretrained(full)
    found, expected = (load_cross_encoder(each).scores(PAIRS) for each in (half, full))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["bi-encoder", "classes", "code", "damaged"])
def test_what_gives_no_score_is_refused_by_its_key(folder, tmp_path, name):
    model = str(tmp_path / "model")
    if name == "bi-encoder":
        model, told = str(find_base("sentence-transformers/all-MiniLM-L6-v2")), "has no weights for classifier"
    elif name == "classes":
        small_models.cross_encoder(tmp_path / "model", labels=3)
        told = "gives 3 scores for a pair"
    else:
        shutil.copytree(folder, model)
        if name == "code":
            settings = json.loads((tmp_path / "model/config.json").read_text())
            settings["auto_map"] = {"AutoModelForSequenceClassification": "code.Model"}
            (tmp_path / "model/config.json").write_text(json.dumps(settings))
            told = "asks in config.json for code of its own"
        else:
            weights = (tmp_path / "model/model.safetensors").read_bytes()
            (tmp_path / "model/model.safetensors").write_bytes(weights[:-100])
            told = "model.safetensors"
    with pytest.raises(BackfireError, match="variants.again.model") as caught:
        prepare_cross_encoder(model, None, str(tmp_path / "taken"), "variants.again.model")
    assert told in str(caught.value) and not (tmp_path / "taken").exists(), str(caught.value)
    assert "\nHint: " in str(caught.value)


def test_weights_that_overflow_give_no_ranking(folder, tmp_path):
    from transformers import AutoModelForSequenceClassification

    shutil.copytree(folder, tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.classifier.bias.data.fill_(float("inf"))
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(BackfireError, match="is no number"):
        load_cross_encoder(tmp_path / "model").scores(PAIRS)
