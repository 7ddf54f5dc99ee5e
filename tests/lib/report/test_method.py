"""The method in words: texts, grades and triples of studies that are not the default one."""

from example_study import VERDICTS, Example, example_config

from backfire.formats.atomic import read_json
from backfire.report.curves import Alarm, Curve, Watched, accuracy, kept, warnings
from backfire.report.method import method_paragraphs
from backfire.report.models import read_certificates
from backfire.report.recipes import recipe
from backfire.study.study import Study
from backfire.study.variants import variant


def paragraphs(tmp_path, config, selected=(), samples=None, **paths):
    study = Example(tmp_path)
    manifests = {name: read_json(path) for name, path in study.manifests().items()}
    certificates = read_certificates(study.folders(**paths))
    told = method_paragraphs(
        config, list(config["variants"]), manifests, list(selected), certificates, samples or {}, None
    )
    return dict(told)


def test_grades_are_told_for_the_splits_that_have_them(tmp_path, root):
    config = example_config(root, {"full_hard": "HARMS"})
    assert "as relevant" not in paragraphs(tmp_path, config)["Measures and tests"]
    config["collections"]["pydocs"]["relevance"] = {"test": 2, "unseen": 2}
    config["collections"]["vaswani"]["relevance"] = {"test": 3}
    told = paragraphs(tmp_path, config)["Measures and tests"]
    assert "On pydocs/test and pydocs/unseen, RR@10, R@100 and AP count grade 2 and above as relevant" in told
    assert "On vaswani/test, RR@10, R@100 and AP count grade 3 and above" in told
    assert told.count("nDCG@10 does not depend on it.") == 2


def test_choices_say_which_data_chose_what(tmp_path, root):
    config = example_config(root, {"full_hard": "HARMS", "lora_hard": "HELPS"})
    assert "No result chose" in paragraphs(tmp_path, config)["Choices"]
    config["selections"] = {"method": {"among": ["full_hard", "lora_hard"], "measure": "RR@10"}}
    where = {
        "selection": "method",
        "collection": "pydocs",
        "split": "dev",
        "measure": "RR@10",
        "queries": 1,
        "seeds": 1,
    }
    rows = [
        where | {"variant": "full_hard", "mean": 0.5, "chosen": False},
        where | {"variant": "lora_hard", "mean": 0.625, "chosen": True},
    ]
    assert (
        "method: lora_hard was chosen by its mean RR@10 on pydocs/dev (1 query), 0.6250 against full_hard 0.5000."
        in paragraphs(tmp_path, config, rows)["Choices"]
    )


def test_the_rule_is_told_with_its_numbers(tmp_path, root):
    config = example_config(root, {"full_hard": "HARMS"}, seeds=2)
    config["comparison"] |= {"against": ["full_hard"], "margins": {"default": 0.02, "RR@10": 0.007}}
    told = paragraphs(tmp_path, config)["Measures and tests"]
    for words in ("base and with full_hard", "0.007 for RR@10 and 0.02 for other measures", "over seeds and queries"):
        assert words in told
    assert "at least the margin (0.007)" in told


def test_the_text_of_every_collection_is_told(tmp_path, root):
    told = paragraphs(tmp_path, example_config(root, {}))["Data"]
    assert told.count("Text of a passage: default. The text of ") == 2


def test_which_weights_are_kept_and_how_they_are_chosen_is_told(tmp_path, root):
    config = example_config(root, {"full_hard": "HARMS", "lora_hard": "HELPS"})
    told = paragraphs(tmp_path, config)
    assert told["full_hard"].endswith("The weights of the last step are kept.")
    assert told["Choices"].endswith("is reported, with the weights of its last step.")
    held_out = {"share": 0.125, "by": "query", "interval": None, "measure": "loss"}
    config["variants"]["full_hard"] |= {"keep": "best", "held_out": held_out}
    config["variants"]["lora_hard"] |= {"schedule": "constant", "max_grad_norm": None} | {
        "held_out": held_out | {"by": "example", "interval": 1000}
    }
    told = paragraphs(tmp_path, config)
    assert "12.5 % of the queries with all their examples, chosen by a hash" in told["full_hard"]
    assert "of the look with the lowest loss, of equal ones the earliest, are kept." in told["full_hard"]
    assert "warm-up over 10% of the steps, then falling linearly to 0" in told["full_hard"]
    assert "12.5 % of the examples, chosen" in told["lora_hard"]
    assert "every 1,000 steps and after each epoch" in told["lora_hard"]
    assert told["lora_hard"].endswith("The weights of the last step are kept.")
    assert "(constant, without warm-up, weight decay 0, gradients not clipped)" in told["lora_hard"]
    assert told["Choices"].endswith("and full_hard with those that did best on held-out training examples.")
    line = recipe(variant("full_hard", config["variants"]["full_hard"]), Study(config).triples)
    assert line.endswith(", best weights on held-out examples kept")


def test_which_step_was_kept_is_told():
    looks = [[10 * look, 0.5 - 0.01 * look, 0.9] for look in range(16)]
    notes = {
        "stopped": False,
        "kept": {"step": 120, "steps": 150},
        "held_out": {"examples": 48, "queries": 40, "looks": looks},
    }
    held_out = {"share": 0.1, "by": "query", "interval": 10, "measure": "loss"}
    best = notes | {"settings": {"keep": "best", "held_out": held_out}}
    assert kept(best) == "step 120 of 150, best of 15 looks at 48 held-out examples (loss 0.3800)"
    last = notes | {"kept": {"step": 150, "steps": 150}}
    last |= {"settings": {"keep": "last", "held_out": held_out | {"measure": "accuracy"}}}
    assert kept(last) == "the last step (accuracy 0.9000 on 48 held-out examples)"
    assert kept(last | {"held_out": None}) == "the last step"
    assert (accuracy(last), accuracy(last | {"held_out": None})) == (0.9, None)


def test_a_warning_of_a_variant_that_makes_no_claim_is_told_without_its_verdict():
    """As of one that a choice has passed over."""
    watched = {"AP": Watched(0.5, 0.4, 0.5, 0), "RR@10": Watched(0.5, 0.3, 0.6, 8)}
    plain = {"seed": 0, "steps": 9, "loss": None, "active": None, "drift": None, "kept": "", "accuracy": None}
    curves = [
        Curve(variant="a", watched=watched, alarm=Alarm(8, -0.2), **plain),
        *(Curve(variant=name, watched=watched, alarm=None, **plain) for name in "bc"),
    ]
    told = " ".join(warnings(curves, {"c": "HARMS"}, "RR@10", 0.05))
    assert "Early warning for a (first at step 8; its best look was step 8): RR@10 of" in told
    assert "Of these none backfired" in told and "It said nothing of c, which backfired there." in told
    assert "Of 3 trainings that do no harm some 0.15 would warn by chance." in told
    assert "of none was it shown that RR@10" in warnings(curves[1:], {}, "RR@10", 0.05)[0]


def test_published_triples_and_triples_for_every_query(tmp_path, root):
    config = example_config(root, {"full_hard": "HARMS", "full_bm25": "HARMS"})
    published = {"negatives": "published", "source": "msmarco/triples", "size": 1000000, "teacher": None}
    config["triples"]["bm25"] = published
    config["triples"]["hard"] |= {"size": None}
    told = paragraphs(tmp_path, config)["Negatives"]
    assert "'bm25' holds 1,000,000 triples" in told and "those of the published triples msmarco/triples." in told
    assert "'hard' holds one triple per training query at most" in told
    line = recipe(variant("full_hard", config["variants"]["full_hard"]), Study(config).triples)
    assert line.startswith("full fine-tuning on one triple per training query at most with hard negatives")
    config["triples"]["hard"] |= {"negatives_per_query": 4}
    told = paragraphs(tmp_path, config)["Negatives"]
    assert "of 4 negatives per training query at most (a query, a relevant passage and 4 that are not)" in told
    line = recipe(variant("full_hard", config["variants"]["full_hard"]), Study(config).triples)
    assert line.startswith(
        "full fine-tuning on one example of 4 negatives per training query at most with hard negatives"
    )


def test_what_a_filter_dropped_is_told(tmp_path, root):
    config = example_config(root, {"full_hard": "HARMS", "full_bm25": "HARMS"})
    config["triples"]["hard"]["filter"] = {"relative_margin": 0.05, "max_score": 0.8}
    config["triples"]["bm25"]["filter"] = {"min_score": 0.1}
    counts = {
        "queries": 50,
        "without an example": 3,
        "looked at": 2000,
        "dropped": {"relative_margin": 1, "max_score": 6},
    }
    one = {"queries": 50, "without an example": 0, "looked at": 60, "dropped": {"min_score": 4}}
    told = paragraphs(tmp_path, config, samples={"hard": [counts, counts], "bm25": [one]})["Negatives"]
    assert (
        "Of 'hard', negatives were dropped whose similarity to the query, by the base, is above that of the positive "
        "less 5 % of it or above 0.8: 14 of 4,000 that were looked at (2 by relative_margin and 12 by max_score); "
        "6 queries had too few left and gave no example, over 2 seeds."
    ) in told
    assert "by the base, is below 0.1: 4 of 60 that were looked at." in told


def test_by_which_path_each_model_was_run_is_told(tmp_path, root):
    config = example_config(root, VERDICTS)
    own = paragraphs(tmp_path, config)["How models are run"]
    assert own == (
        "base, full_bm25, full_hard, lora_bm25 and lora_hard: run by Backfire's own path; vectors of 130 texts within "
        "2.0e-07 of sentence-transformers."
    )
    library = {"forward": "library", "why": "prompts differ", "difference": 3e-7}
    told = paragraphs(tmp_path, config, lora_hard=library)["How models are run"]
    assert "lora_hard: run by sentence-transformers itself where prompts differ; vectors of 130 texts within" in told


def test_how_vectors_are_compared_is_told_of_each_model(tmp_path, root):
    config, dot = example_config(root, VERDICTS), {"similarity": "dot"}

    def told(**paths):
        return paragraphs(tmp_path, config, **paths)["Encoding and ranking"]

    assert "scaled to unit length and compared by cosine similarity. Each query" in told()
    mixed = told(lora_hard=dot)
    assert "as the model was made for, by the dot product for lora_hard; for base, full_bm25" in mixed
    assert "cosine" not in told(**dict.fromkeys(["base", *VERDICTS], dot))


def test_the_ranks_that_negatives_come_from_are_told(tmp_path, root):
    config = example_config(root, VERDICTS)
    assert "drawn from the first 200 passages that the base itself finds" in paragraphs(tmp_path, config)["Negatives"]
    config["triples"]["hard"]["ranks"] = [50, 200]
    told = paragraphs(tmp_path, config)["Negatives"]
    assert "drawn from the passages at ranks 50 to 200 among those that the base itself finds" in told


def test_models_that_were_not_trained_here_say_where_they_are_from(tmp_path, root):
    config = example_config(root, VERDICTS)
    config["variants"] |= {
        "e5": {"method": "none", "model": "intfloat/e5-small-v2", "prompts": {"query": "query: "}},
        "asked": {"method": "none", "prompts": {"query": "ask: ", "passage": "p: "}, "similarity": "dot"},
        "half": {"method": "mix", "of": {"base": 0.5, "full_hard": 0.5}, "over_seeds": False},
        "soup": {"method": "mix", "of": ["full_hard"], "over_seeds": True},
        "words": {"method": "bm25", "k1": 0.9, "b": 0.4},
        "both": {"method": "fuse", "of": ["words", "base"], "k": 60},
        "again": {
            "method": "rerank",
            "of": "both",
            "model": "some/cross-encoder",
            "depth": 50,
            "model_sha256": None,
            "max_length": None,
        },
        "given": {"method": "run", "runs": {"pydocs/test": "a.trec", "pydocs/unseen": "b.trec", "vaswani/test": "c"}},
    }
    told = paragraphs(tmp_path, config)
    assert told["e5"] == "It is intfloat/e5-small-v2, not trained here, with the query prompt 'query: '."
    assert told["asked"] == (
        "It is the base, not trained, with the query prompt 'ask: ', the passage prompt 'p: ' and the dot product."
    )
    assert told["again"] == (
        "It is the first 50 passages of both, reranked by some/cross-encoder, a cross-encoder, which reads query and "
        "passage together, cut at the model's own limit. What the run has beyond them keeps its order."
    )
    assert told["half"].startswith(
        "Its weights are averaged: 0.5 of base and 0.5 of full_hard, tensor by tensor. Each seed"
    )
    assert told["soup"].startswith(
        "Its weights are averaged: 1 of full_hard, all its seeds, tensor by tensor. All seeds"
    )
    assert told["words"].startswith("It is BM25 (k1 0.9, b 0.4) as Lucene computes it")
    assert told["both"].startswith("It is the reciprocal rank fusion of base and words (k 60): a passage's score")
    assert told["given"].endswith("pydocs/test from a.trec, pydocs/unseen from b.trec and vaswani/test from c.")
    config["variants"]["base"] = {"method": "none", "prompts": {"query": "q: "}}
    assert "evaluated with the query prompt 'q: '" in paragraphs(tmp_path, config)["Base"]
