"""Findings about the data: what is cut, asked twice, answered twice, and seen before."""

from collections.abc import Iterator

from backfire.explaining.triple_facts import LIKELY, TEACHER
from backfire.forecast.findings import FAULT, MEASURED, NOTE, RISK, USUAL, Finding, Seen
from backfire.forecast.known_models import trained_on
from backfire.forecast.recipes import ANSWERS, CUT, percent
from backfire.study.parts import UNSEEN

# Share of a query set that is asked in training too, from which its values are those of memory.
LEAK = 0.01
# Share of negatives that are nearly the positive's text, from which it counts.
TWINS = 0.005


def data(seen: Seen) -> Iterator[Finding]:
    """Findings about collections, query sets, triple sets and models."""
    yield from _cut(seen)
    yield from _shared(seen)
    yield from _negatives(seen)
    yield from _known(seen)
    yield from _prompts(seen)
    yield from _limits(seen)


def _cut(seen: Seen) -> Iterator[Finding]:
    length = seen.study.config["encoding"]["max_length"]
    for name, share in seen.cut.items():
        if share >= CUT:
            yield Finding(
                "cut texts",
                "encoding.max_length",
                RISK,
                f"{percent(share)} of the passages of {name} reach {length} tokens, where they are cut.",
                "What stands behind is never found, by base nor by any variant.",
                f"raise encoding.max_length above {length}, or cut the passages into shorter ones.",
                MEASURED,
            )


def _shared(seen: Seen) -> Iterator[Finding]:
    for (collection, split), (count, total) in seen.shared.items():
        if count:
            yield Finding(
                "queries in training",
                f"collections.{collection}.splits.{split}",
                FAULT if count >= LEAK * total else NOTE,
                f"{count:,} of {total:,} queries of {split} are asked in training too, word for word or nearly.",
                "A gain there is memory and not retrieval; how the variant does on new queries cannot be read off it.",
                "take them out of the training queries, or of the split.",
                MEASURED,
            )


def _negatives(seen: Seen) -> Iterator[Finding]:
    for name, facts in seen.forensics.items():
        likely, twins = facts["likely_answer"], facts["near_duplicate"]
        if likely["value"] is not None and likely["value"] >= ANSWERS:
            taught = likely["judge"] == TEACHER
            judge = "the teacher" if taught else "base, which guesses"
            yield Finding(
                "likely answers",
                f"triples.{name}",
                RISK,
                f"{percent(likely['value'])} of its negatives likely answer the query, by {judge}.",
                "Training pushes right answers away; a fifth of wrong labels took the whole gain (docs/recipes.md).",
                f"triples.{name}.filter: {{relative_margin: {LIKELY:g}}}, or a teacher that scores them.",
                MEASURED if taught else USUAL,
            )
        if twins["value"] is not None and twins["value"] >= TWINS:
            yield Finding(
                "twins",
                f"triples.{name}",
                FAULT,
                f"{percent(twins['value'])} of its negatives have nearly the text of the positive.",
                "The same text is pulled and pushed at once.",
                "drop near duplicates from the corpus, or set a filter (relative_margin).",
                MEASURED,
            )


def _known(seen: Seen) -> Iterator[Finding]:
    study = seen.study
    models = {name: study.source_of(name)["name"] for name in study.taken_models}
    for collection in study.trained_on:
        for name, model in models.items():
            each = study.collections[collection]
            if known := trained_on(model, f"{each.corpus} {each.train or ''}"):
                yield Finding(
                    "seen before",
                    study.source_of(name)["where"],
                    RISK,
                    f"{model} was trained on {known}, which {collection} is.",
                    "What it could learn there it has learned; the same queries again mostly cost what it knows "
                    "besides, and a recipe that is harmless elsewhere harms here.",
                    "expect little; hold a collection against it that it has not seen, and look at distillation from a "
                    "cross-encoder, fusion with BM25, or a stronger model.",
                    USUAL,
                )


def _prompts(seen: Seen) -> Iterator[Finding]:
    for name, prompts in seen.lacking.items():
        source = seen.study.source_of(name)
        yield Finding(
            "no prompts",
            source["where"],
            RISK,
            f"{source['name']} names no prompts in its files, and its family was trained with some.",
            "Queries and passages are then encoded in a way that it never saw, base like every variant.",
            f"a variant of method none with {prompts}, and start_from it.",
            USUAL,
        )


def _limits(seen: Seen) -> Iterator[Finding]:
    study = seen.study
    if study.trained and not study.elsewhere:
        yield Finding(
            "forgetting unseen",
            "collections",
            NOTE,
            "Every query set that is evaluated is of the text that is trained on.",
            "What a variant forgets of other text stays unseen.",
            f"add another collection, or a split named {UNSEEN}.",
            USUAL,
        )
    if study.trained and len(study.seeds) == 1:
        yield Finding(
            "one seed",
            "seeds",
            NOTE,
            "Every variant is trained once.",
            "Another seed may give another verdict where the effect is small, and one seed cannot say how much.",
            "seeds: [0, 1, 2] for a result to rely on.",
            USUAL,
        )
