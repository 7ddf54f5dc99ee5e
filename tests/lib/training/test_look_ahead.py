"""A look before the first step, against the first step of a training and against the library's own vectors."""

import pytest
import torch
from small_training import LORA, SETTINGS

from backfire.encoders.encoder import load_tokenizer
from backfire.forecast.look import Subject, look_ahead
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows, write_rows

pytestmark = pytest.mark.usefixtures("one_thread")
PAPER = {"name": "triplet", "distance": "euclidean", "margin": 5.0, "normalize": False}
RANKING = {"name": "multiple_negatives_ranking", "scale": 20, "directions": ["query_to_doc"], "partition_mode": "joint"}
RECIPES = {
    "cosine": {},
    "paper": {"loss": PAPER},
    "ranking": {"loss": RANKING},
    "lora": {"method": "lora", "lora": LORA | {"dropout": 0.0}},
}


@pytest.fixture
def look(files, base_model, table, tmp_path):
    """A function that looks at variants of the given settings, and gives what was written."""

    def run(recipes, max_length=32, triples=None):
        subjects = [
            Subject(
                name, SETTINGS | {"batch_size": 12} | settings, 0, str(base_model), "base", triples or files["triples"]
            )
            for name, settings in recipes.items()
        ]
        qrels = table("no-qrels", "qrels", [])
        look_ahead(
            base=str(base_model),
            subjects=subjects,
            queries=files["queries"],
            qrels=qrels,
            corpus=files["corpus"],
            collections={"docs": files["corpus"]},
            max_length=max_length,
            base_vectors=[],
            models={"base": (str(base_model), "intfloat/e5-small-v2"), "other": (str(base_model), "a/model")},
            label=None,
            output=str(tmp_path / "looks.json"),
        )
        return read_json(tmp_path / "looks.json")

    return run


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_sees_what_the_first_step_sees(look, train, recipe):
    settings = {"batch_size": 12, "precision": "fp32", **RECIPES[recipe]}
    _, rows, _ = train("model", **settings)
    found = look({recipe: RECIPES[recipe]})["looks"][recipe]
    assert found["examples"] == 12 and len(rows) == 2
    assert found["loss"] == pytest.approx(rows[1]["loss"], rel=1e-4)
    assert found["active"] == (None if recipe == "ranking" else pytest.approx(rows[1]["active_triplets"]))
    assert found["similarity"] == "cosine" and 0 <= found["accuracy"] <= 1


def test_lengths_are_those_of_the_librarys_vectors_and_texts_are_cut_where_they_end(look, files, base_model):
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(base_model), device="cpu")
    library.max_seq_length = 32
    rows = read_rows(files["triples"], "triples").to_pylist()
    texts = {row["doc_id"]: row["text"] for row in read_rows(files["corpus"][0], "corpus").to_pylist()}
    passages = [texts[row[name]] for row in rows for name in ("positive_id", "negative_id")]
    # Without the last module, which scales them to unit length.
    with torch.no_grad():
        pooled = library[1](library[0](library.preprocess(passages)))["sentence_embedding"]
    found = look({"paper": RECIPES["paper"]})
    lengths = load_tokenizer(base_model).tokenize(passages, "document", 512).lengths
    assert found["looks"]["paper"]["cut_passages"] == pytest.approx((lengths >= 32).mean())
    assert found["looks"]["paper"]["norm"] == pytest.approx(pooled.norm(dim=1).mean().item(), rel=1e-4)
    everything = load_tokenizer(base_model).tokenize(list(texts.values()), "document", 512).lengths
    assert found["cut"] == {"docs": pytest.approx((everything >= 32).mean())}


def test_prompts_that_a_family_asks_for_are_missed(look):
    assert look({})["lacking"] == {"base": 'prompts: {query: "query: ", passage: "passage: "}'}


def test_only_the_first_examples_of_an_epoch_are_looked_at(look, files, tmp_path, monkeypatch):
    monkeypatch.setattr("backfire.forecast.look.EXAMPLES", 5)
    assert look({"cosine": {}})["looks"]["cosine"]["examples"] == 5
    few = read_rows(files["triples"], "triples").to_pylist()[:1]
    write_rows(tmp_path / "one", "triples", few)
    assert look({"cosine": {}}, triples=str(tmp_path / "one"))["looks"]["cosine"]["examples"] == 1


def test_what_cannot_be_taken_is_told_and_the_others_are(look):
    found = look({"wrong": {"method": "lora", "lora": LORA | {"target_modules": ["nothing"]}}, "cosine": {}})
    assert list(found["looks"]) == ["cosine"] and "fit no layer" in found["unlooked"]["wrong"]
