"""A forecast: everything that can be said of a study before it trains, as data and as a page of text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backfire.datasets.passages import query_texts, texts_by_id
from backfire.forecast.data import data
from backfire.forecast.findings import GRADES, Finding, Look, Power, Seen
from backfire.forecast.page import page
from backfire.forecast.power import power, powers
from backfire.forecast.recipes import recipes
from backfire.forecast.subjects import why_not
from backfire.forecast.texts import answered_twice, asked_twice
from backfire.formats.atomic import read_json, replacing, write_json
from backfire.formats.tables import read_rows
from backfire.study.study import Study

CHECKS = (recipes, data, powers)


def findings(seen: Seen) -> list[Finding]:
    """What all checks find, the gravest first."""
    found = [each for check in CHECKS for each in check(seen)]
    return sorted(found, key=lambda each: GRADES.index(each.grade))


def forecast_study(
    looks: str | Path,
    forensics: str | Path | None,
    triples: Mapping[str, str | Path],
    queries: str | Path | None,
    evaluated: Mapping[tuple[str, str], str | Path],
    corpus: Sequence[str],
    measures: str | Path,
    config: dict[str, Any],
    variants: Sequence[str],
    output: str | Path,
    text: str | Path,
) -> None:
    """Write the forecast of a study as JSON, and as text.

    `looks` is what `look.look_ahead` wrote, `forensics` the table of that name, `triples` the tables of the sets that
    are trained on, of the first seed, `queries` the training queries and `corpus` the shards that the sets are drawn
    from; `evaluated` the queries of each (collection, query set) that is evaluated or watched, and `measures` base's
    values; `variants` is the study's order of them. Memory: the texts of queries, of positives, and the ids of the
    largest set.
    """
    config = config | {"variants": {name: config["variants"][name] for name in variants}}
    study, looked = Study(config), read_json(looks)
    asked = query_texts(str(queries)) if queries else {}
    used, repeated, examples = set(), {}, {}
    for name, path in triples.items():
        table = read_rows(path, "triples", ["example", "query_id", "positive_id"])
        # Rows of an example, one for each negative, say the same.
        columns = (table[column].to_pylist() for column in ("query_id", "positive_id"))
        pairs = dict(zip(table["example"].to_pylist(), zip(*columns, strict=True), strict=True))
        used |= {query_id for query_id, _ in pairs.values()}
        texts = texts_by_id(corpus, "corpus", {doc_id for _, doc_id in pairs.values()})
        repeated[name], examples[name] = answered_twice(list(pairs.values()), texts), len(pairs)
    training = [asked[query_id] for query_id in sorted(used)]
    shared = {}
    for place, path in evaluated.items():
        texts = list(query_texts(str(path)).values())
        shared[place] = asked_twice(training, texts), len(texts)
    facts: dict[str, dict[str, Any]] = {}
    for row in read_rows(forensics, "forensics").to_pylist() if forensics else []:
        facts.setdefault(row["triples"], {})[row["fact"]] = row
    seen = Seen(
        study=study,
        looks={name: Look(**each) for name, each in looked["looks"].items()},
        unlooked=looked["unlooked"]
        | {name: why for name in study.trained if name in study.compared and (why := why_not(study, name))},
        forensics=facts,
        cut=looked["cut"],
        shared=shared,
        repeated=repeated,
        lacking=looked["lacking"],
        examples=examples,
        power=_power(study, measures),
    )
    found = findings(seen)
    write_json(
        output,
        {
            "study": study.name,
            "findings": [asdict(each) for each in found],
            "looks": looked["looks"],
            "not looked at": dict(seen.unlooked),
            "power": asdict(seen.power) if seen.power else None,
        },
    )
    with replacing(text) as temporary:
        temporary.write_text(page(seen, found), encoding="utf-8")


def _power(study: Study, measures: str | Path) -> Power | None:
    measure = study.primary[2]
    rows = read_rows(measures, "measures").to_pylist()
    values = [row["value"] for row in rows if (row["collection"], row["split"], row["measure"]) == study.primary]
    if not values:
        return None
    rules = study.config["comparison"]
    margin = rules["margins"].get(measure, rules["margins"]["default"])
    return power(values, measure, len(study.compared) - 1, rules["alpha"], margin, rules["power"])
