"""The columns of every Parquet table of a study, and what they hold."""

import pyarrow as pa

_text, _whole, _real = pa.string(), pa.int32(), pa.float64()

# What is compared, where, over how much, and how far apart it is.
_DIFFERENCE = [
    *(("collection", _text), ("split", _text), ("measure", _text), ("family", _text), ("seeds", _whole)),
    *(("queries", _whole), ("mean", _real), ("reference_mean", _real), ("delta", _real)),
]

SCHEMAS: dict[str, pa.Schema] = {
    "corpus": pa.schema([("doc_id", _text), ("text", _text)]),
    "tokens": pa.schema([("doc_id", _text), ("tokens", pa.list_(pa.int32()))]),
    "queries": pa.schema([("query_id", _text), ("text", _text)]),
    "qrels": pa.schema([("query_id", _text), ("doc_id", _text), ("relevance", _whole)]),
    "candidates": pa.schema([("query_id", _text), ("doc_id", _text), ("rank", _whole), ("score", pa.float32())]),
    # One row per word: the passages that hold it and how often it stands in them. The row of the empty word counts
    # all passages and all words.
    "terms": pa.schema([("word", _text), ("passages", pa.int64()), ("occurrences", pa.int64())]),
    # One row for each negative; `example`, from 0, is the same in the rows, one after another, of one example.
    "triples": pa.schema(
        [
            ("example", _whole),
            ("query_id", _text),
            ("positive_id", _text),
            ("negative_id", _text),
            ("source", _text),
            ("rank", _whole),
            ("base_score", pa.float32()),
        ]
    ),
    "teacher": pa.schema([("query_id", _text), ("doc_id", _text), ("teacher_score", pa.float32())]),
    # judge: "teacher" or "base", by whom a likely answer is told; fact: see explaining.forensics.
    "forensics": pa.schema(
        [
            *(("triples", _text), ("judge", _text), ("fact", _text)),
            *(("value", _real), ("ci_low", _real), ("ci_high", _real)),
        ]
    ),
    # kept: share of the negatives that a filter of that relative_margin keeps; score: the base's of them, median;
    # answers: share of them that the teacher takes for answers.
    "filter_curves": pa.schema(
        [
            *(("triples", _text), ("judge", _text), ("relative_margin", _real), ("kept", _real), ("score", _real)),
            *(("answers", _real), ("ci_low", _real), ("ci_high", _real)),
        ]
    ),
    "measures": pa.schema(
        [
            ("variant", _text),
            ("seed", _whole),
            ("collection", _text),
            ("split", _text),
            ("measure", _text),
            ("query_id", _text),
            ("value", _real),
        ]
    ),
    # Means over the queries of the split; tied_queries: those whose value depends on the order of equal scores.
    "ties": pa.schema(
        [
            ("variant", _text),
            ("seed", _whole),
            ("collection", _text),
            ("split", _text),
            ("measure", _text),
            ("queries", _whole),
            ("tied_queries", _whole),
            ("worst", _real),
            ("value", _real),
            ("best", _real),
        ]
    ),
    # family: "claims" are adjusted for one another, as are "alternatives" and "helpers", what "explores" for all that
    # does; empty for base itself.
    # p: sign-flip test; p_t: paired t test; p_seeds: t test over seeds and queries, empty for one seed; p_adjusted:
    # step-down maxT for claims (with several seeds at least p_holm), Benjamini-Hochberg else;
    # mde: minimum detectable effect; seed_share: share of the variance of delta that is due to seeds.
    "comparison": pa.schema(
        [
            ("variant", _text),
            ("reference", _text),
            *_DIFFERENCE,
            ("relative", _real),
            ("ci_low", _real),
            ("ci_high", _real),
            ("p", _real),
            ("p_adjusted", _real),
            ("p_holm", _real),
            ("p_t", _real),
            ("p_seeds", _real),
            ("d_z", _real),
            ("wins", _whole),
            ("ties", _whole),
            ("losses", _whole),
            ("margin", _real),
            ("p_equivalence", _real),
            ("p_equivalence_adjusted", _real),
            ("p_noninferiority", _real),
            ("p_noninferiority_adjusted", _real),
            ("one_sided_low", _real),
            ("one_sided_high", _real),
            ("fewest_queries", _whole),
            ("mde", _real),
            ("queries_needed", _whole),
            ("seeds_needed", _whole),
            ("seed_share", _real),
            ("verdict", _text),
            ("retention", _text),
        ]
    ),
    # Base and every variant that makes a claim, at the primary place (recommending.rules). falls, open: names of other
    # query sets, joined by ", ". Times to train and set up in s, for a query in ms, index_size in MiB; null: not known.
    # standing: "recommended", "runner-up" or "other"; front: no other is as good in mean and costs, and better in one.
    "recommendation": pa.schema(
        [
            *(("variant", _text), ("standing", _text), ("reason", _text), ("front", pa.bool_()), ("verdict", _text)),
            *(("delta", _real), ("ci_low", _real), ("ci_high", _real), ("falls", _text), ("open", _text)),
            *(("training_time", _real), ("passages", pa.int64()), ("setup_time", _real), ("query_time", _real)),
            ("index_size", _real),
        ]
    ),
    # How much of the difference between two recipes each factor is worth (see explaining.attribution). part: "total",
    # "factor", "interaction" (of two factors) or "rung" (a variant of the ladder). alone, last: what the factor changes
    # first of all, and after all others; orders: over how many orders of the factors it is averaged. Tests as in
    # `comparison`; a rung has none. What a rung that diverged would have to say is null.
    "ladder": pa.schema(
        [
            ("part", _text),
            ("name", _text),
            ("factors", pa.list_(_text)),
            *_DIFFERENCE,
            ("ci_low", _real),
            ("ci_high", _real),
            ("alone", _real),
            ("last", _real),
            ("orders", _whole),
            ("p", _real),
            ("p_adjusted", _real),
            ("p_seeds", _real),
            ("margin", _real),
            ("p_equivalence", _real),
            ("p_equivalence_adjusted", _real),
            ("mde", _real),
            ("queries_needed", _whole),
            ("verdict", _text),
            ("diverged", _text),
        ]
    ),
    # part: "line" of a group of variants that differ in their share of wrong labels, which is named by the one with the
    # fewest: what `dose` more of them change; or "dose", a variant at its share: its difference from that one.
    "doses": pa.schema(
        [
            *(("part", _text), ("group", _text), ("variant", _text), ("dose", _real)),
            *_DIFFERENCE,
            *(("ci_low", _real), ("ci_high", _real), ("p", _real), ("p_adjusted", _real)),
        ]
    ),
    # What was chosen among candidates, and by which values: means over queries and seeds on the watched split.
    "selection": pa.schema(
        [
            ("selection", _text),
            ("variant", _text),
            ("collection", _text),
            ("split", _text),
            ("measure", _text),
            ("queries", _whole),
            ("seeds", _whole),
            ("mean", _real),
            ("chosen", pa.bool_()),
        ]
    ),
    # direction: "loss" or "gain"; place counts from 1 within it. The lists, of one length, name the passages that the
    # answer changed places with. A rank is null below the depth of the run.
    "moved": pa.schema(
        [
            ("variant", _text),
            ("direction", _text),
            ("place", _whole),
            ("query_id", _text),
            ("query", _text),
            ("base_value", _real),
            ("variant_value", _real),
            ("delta", _real),
            ("base_rank", _whole),
            ("variant_rank", _whole),
            ("answer_id", _text),
            ("answer", _text),
            ("passage_ids", pa.list_(_text)),
            ("passage_texts", pa.list_(_text)),
            ("passage_base_ranks", pa.list_(_whole)),
            ("passage_variant_ranks", pa.list_(_whole)),
        ]
    ),
    # rho, p and p_adjusted are of the whole (variant, factor) and the same in each of its strata.
    "strata": pa.schema(
        [
            ("variant", _text),
            ("factor", _text),
            ("stratum", _text),
            ("place", _whole),
            ("low", _real),
            ("high", _real),
            ("queries", _whole),
            ("delta", _real),
            ("ci_low", _real),
            ("ci_high", _real),
            ("rho", _real),
            ("p", _real),
            ("p_adjusted", _real),
        ]
    ),
    # own: the study's own protocol, with delta 0 and no interval; changed: queries whose value differs from it.
    "protocol": pa.schema(
        [
            ("collection", _text),
            ("split", _text),
            ("factor", _text),
            ("choice", _text),
            ("own", pa.bool_()),
            ("measure", _text),
            ("queries", _whole),
            ("mean", _real),
            ("delta", _real),
            ("ci_low", _real),
            ("ci_high", _real),
            ("changed", _whole),
        ]
    ),
    "geometry": pa.schema(
        [
            ("variant", _text),
            ("seed", _whole),
            ("collection", _text),
            ("quantity", _text),
            ("value", _real),
            ("unit", _text),
        ]
    ),
    "cost": pa.schema([("variant", _text), ("seed", _whole), ("quantity", _text), ("value", _real), ("unit", _text)]),
    # adapter: "merged" or "unmerged", null where the model has none; milliseconds: of the whole batch.
    "latency": pa.schema(
        [
            ("variant", _text),
            ("seed", _whole),
            ("adapter", _text),
            ("batch", _whole),
            ("round", _whole),
            ("milliseconds", _real),
        ]
    ),
    # kind: "passage" or "query"; x, y: UMAP coordinates in the base's map.
    "projection": pa.schema(
        [
            ("variant", _text),
            ("seed", _whole),
            ("kind", _text),
            ("id", _text),
            ("x", pa.float32()),
            ("y", pa.float32()),
        ]
    ),
    # direction: loss or gain; queries: exchanges of that kind, of the `named` ones among the `moved` queries of that
    # direction; hubs: passages that have come to be returned for more queries (loss), or for fewer (gain).
    "replaced": pa.schema(
        [
            *(("variant", _text), ("direction", _text), ("kind", _text)),
            *(("queries", _whole), ("named", _whole), ("moved", _whole), ("hubs", _whole)),
            *(("p", _real), ("p_adjusted", _real)),
        ]
    ),
    # What changed places with the answer of a query that moved, in the ranking of the variant's first seed.
    "exchanges": pa.schema(
        [
            *(("variant", _text), ("direction", _text), ("query_id", _text)),
            *(("answer_id", _text), ("passage_id", _text), ("kind", _text)),
        ]
    ),
    # Of exchanges, what a judge says of both (explaining.queries.opinions); grade: of the passage, null where nobody
    # judged it.
    "opinions": pa.schema(
        [
            *(("variant", _text), ("direction", _text), ("query_id", _text), ("answer_id", _text)),
            *(("passage_id", _text), ("grade", _whole), ("answer_score", _real), ("passage_score", _real)),
        ]
    ),
    # preferred: unjudged passages that the judge prefers to the answer; p: that losses and gains have as many of them.
    "missing_labels": pa.schema(
        [
            *(("variant", _text), ("direction", _text), ("queries", _whole), ("preferred", _whole)),
            *(("share", _real), ("ci_low", _real), ("ci_high", _real), ("p", _real), ("p_adjusted", _real)),
        ]
    ),
    # What each map of `projection`, and those of other seeds of UMAP, is worth (explaining.projection.map_quality).
    "maps": pa.schema(
        [
            *(("variant", _text), ("seed", _whole), ("map_seed", _whole)),
            *(("trustworthiness", _real), ("drift", _real), ("noise", _real)),
        ]
    ),
    # What the means of development measures in `dynamics` are of.
    "development": pa.schema([("step", _whole), ("measure", _text), ("query_id", _text), ("value", _real)]),
    # At each look one row for each layer that is trained (training.layers); place counts from the network's first one.
    # drift: of what is changed since the start, over the weights that it is changed in; grad_norm: before clipping;
    # update_ratio: norm of what the step changed over that of the trained weights, an adapter's own where there is one.
    "layers": pa.schema(
        [
            *(("step", _whole), ("layer", _text), ("place", _whole)),
            *(("drift", _real), ("grad_norm", _real), ("update_ratio", _real)),
        ]
    ),
    # Followed by one float column for each measure taken on the development queries, named `dev_<measure>`, by
    # `held_out_loss` and `held_out_accuracy` where examples were held out, by one for each term of a loss that is a
    # weighted sum, named `loss_<term>`, before its weight, and at each look by `positive_p10` to `negative_p90`,
    # `pool_norm` and `pool_participation_ratio` (training.development) and `harm` and `harm_boundary` (training.watch).
    "dynamics": pa.schema(
        [
            ("step", _whole),
            ("loss", _real),
            ("learning_rate", _real),
            ("grad_norm", _real),
            ("active_triplets", _real),
            ("weight_drift", _real),
        ]
    ),
}
