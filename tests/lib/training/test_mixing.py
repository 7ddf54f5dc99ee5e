"""Averaged weights: to the bit where one model has all of the share, by hand elsewhere, refused where shapes differ."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from backfire.encoders.base import prepare_base
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.formats.tables import write_rows
from backfire.report.best import shares_told
from backfire.training.mixing import Watched, mix_models

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory, base_model):
    """The base, and a copy of it whose weights were moved."""
    folder = tmp_path_factory.mktemp("mixing")
    prepare_base(str(base_model), None, str(folder / "base"))
    shutil.copytree(base_model, folder / "raw")
    tensors = load_file(folder / "raw" / WEIGHTS)
    drawn = torch.Generator().manual_seed(0)
    moved = {
        name: tensor + 0.01 * torch.randn(tensor.shape, generator=drawn) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    save_file(moved, folder / "raw" / WEIGHTS, metadata={"format": "pt"})
    prepare_base(str(folder / "raw"), None, str(folder / "moved"))
    return folder / "base", folder / "moved"


def weights(folder):
    return {name: tensor for name, tensor in SentenceTransformer(str(folder)).state_dict().items()}


def test_a_share_of_one_gives_that_model_to_the_bit(models, tmp_path):
    for number, shares in enumerate(([1.0, 0.0], [0.0, 1.0])):
        mix_models(models, [[share] for share in shares], tmp_path / f"mix-{number}", "mix")
        mixed, own = weights(tmp_path / f"mix-{number}"), weights(models[number])
        assert mixed.keys() == own.keys()
        assert all(torch.equal(mixed[name], own[name]) for name in own)


def test_shares_are_sums_in_double_precision(models, tmp_path):
    mix_models([*models, models[0]], [[0.5], [0.75], [-0.25]], tmp_path / "mix", "mix")
    one, other, mixed = (weights(folder) for folder in (*models, tmp_path / "mix"))
    for name, tensor in mixed.items():
        if tensor.is_floating_point():
            by_hand = 0.25 * one[name].double() + 0.75 * other[name].double()
            torch.testing.assert_close(tensor, by_hand.float(), atol=1e-7, rtol=1e-6)
    assert read_json(tmp_path / "mix/mix.json")["shares"] == [0.5, 0.75, -0.25]


def test_a_base_stored_in_bf16_is_mixed_in_fp32(models, tmp_path):
    narrow = shutil.copytree(models[0], tmp_path / "narrow", ignore=shutil.ignore_patterns("SHA256SUMS", "cert*"))
    tensors = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor
               for name, tensor in load_file(narrow / WEIGHTS).items()}  # fmt: skip
    save_file(tensors, narrow / WEIGHTS, metadata={"format": "pt"})
    prepare_base(str(narrow), None, str(tmp_path / "stored"))
    mix_models([tmp_path / "stored", models[1]], [[0.5], [0.5]], tmp_path / "mix", "mix")
    stored = load_file(tmp_path / "mix" / WEIGHTS)
    other = load_file(models[1] / WEIGHTS)
    assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.float32}
    name = "encoder.layer.0.output.dense.weight"
    by_hand = (tensors[name].double() + other[name].double()) / 2
    torch.testing.assert_close(stored[name], by_hand.float())


def test_models_that_cannot_be_averaged_are_refused(models, tmp_path):
    short = shutil.copytree(models[0], tmp_path / "short", ignore=shutil.ignore_patterns("SHA256SUMS", "cert*"))
    modules = json.loads((short / "modules.json").read_text())
    (short / "modules.json").write_text(json.dumps(modules[:2]))
    with pytest.raises(BackfireError, match="Transformer, Pooling, Normalize, .* of Transformer, Pooling"):
        mix_models([models[0], short], [[0.5], [0.5]], tmp_path / "mix", "mix")
    cut = shutil.copytree(models[0], tmp_path / "cut", ignore=shutil.ignore_patterns("SHA256SUMS", "cert*"))
    tensors = load_file(cut / WEIGHTS)
    tensors["embeddings.position_embeddings.weight"] = tensors["embeddings.position_embeddings.weight"][:256].clone()
    save_file(tensors, cut / WEIGHTS, metadata={"format": "pt"})
    settings = json.loads((cut / "config.json").read_text()) | {"max_position_embeddings": 256}
    (cut / "config.json").write_text(json.dumps(settings))
    with pytest.raises(BackfireError, match=r"position_embeddings.weight first: \(512, 384\) and \(256, 384\)"):
        mix_models([models[0], cut], [[0.5], [0.5]], tmp_path / "mix", "mix")
    assert not (tmp_path / "mix").exists()


def test_of_several_shares_the_one_that_is_best_on_the_watched_queries_is_made(models, tmp_path):
    """The second model's weights are noise, so that the less of it the better: the order of the shares is no matter."""
    words = ["list", "file", "thread", "socket", "date", "regular expression", "queue", "json"]
    corpus, queries, qrels = (str(tmp_path / f"{name}.parquet") for name in ("corpus", "queries", "qrels"))
    passages = [{"doc_id": f"d{place}", "text": f"How to use a {word} in Python."} for place, word in enumerate(words)]
    write_rows(corpus, "corpus", passages)
    write_rows(queries, "queries", [{"query_id": f"q{place}", "text": word} for place, word in enumerate(words)])
    judged = [{"query_id": f"q{place}", "doc_id": f"d{place}", "relevance": 1} for place in range(len(words))]
    write_rows(qrels, "qrels", judged)
    watched = Watched(queries, qrels, [corpus], max_length=16, measure="RR@10", pool=8, relevant_from=1, size=8)
    tried = [30.0, 0.0, 0.5]
    shares = [[1 - share for share in tried], tried]
    mix_models(models, shares, tmp_path / "mix", "mix", watched)
    notes = read_json(tmp_path / "mix/mix.json")
    values = [value for _, value in notes["tried"]]
    assert [weights for weights, _ in notes["tried"]] == [[1 - share, share] for share in tried]
    assert values[1] == max(values) > values[0] and notes["shares"] == [1.0, 0.0] and notes["measure"] == "RR@10"
    mixed, own = weights(tmp_path / "mix"), weights(models[0])
    assert all(torch.equal(mixed[name], own[name]) for name in own)
    (told,) = shares_told({("half", 3): tmp_path / "mix", ("base", 0): models[0]}, ["half"])
    assert told.startswith("half, seed 3: 0 of the second model's weights, by RR@10 on the watched queries: ")
