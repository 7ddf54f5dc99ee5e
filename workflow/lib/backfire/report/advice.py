"""What to do, derived from the numbers by explicit rules. Nothing is said of a difference that has no interval.

Each rule is a function of the findings and gives an `Advice` or None; the page shows them in the order of `RULES`.
"""

from backfire.evaluation.verdict import Retention, Verdict
from backfire.report.findings import Advice, Findings, Row
from backfire.report.numbers import count, difference, interval, names
from backfire.report.recommendation import recommendation
from backfire.report.untrained import hardly_trained, little_left, never_met, standing

# What may differ between two variants for a rule to say that they differ in the method of training alone.
METHOD_KEYS = {"method", "lora", "learning_rate"}
# What tests forgetting in any study: a collection of another domain, its training queries included, since nothing here
# trains on them and its test queries alone are too few to say "keeps".
ELSEWHERE = """\
collections:
  scifact: {corpus: beir/scifact, splits: {test: beir/scifact/train}}
"""


def advise(findings: Findings) -> list[Advice]:
    """Every rule that applies, most important first."""
    found = (rule(findings) for rule in RULES)
    return [advice for advice in found if advice is not None]


def negatives(findings: Findings) -> Advice | None:
    """Where training on one source of negatives backfires and on another does not, all else equal: use the other."""
    pairs = _contrasts(
        findings, {"triples"}, lambda worse, better: findings.negatives(worse) != findings.negatives(better)
    )
    if not pairs:
        return None
    bad = list(dict.fromkeys(findings.negatives(worse) for worse, _ in pairs))
    good = list(
        dict.fromkeys(findings.negatives(better) for _, better in pairs if findings.negatives(better) not in bad)
    )
    if not good:
        return None
    why = ""
    if "hard" in bad:
        why = (
            " A common reason, not tested here: passages that the base ranks high and nobody judged are often "
            "relevant, and training pushes them away. Draw them from further down (a larger depth), or drop "
            "them."
        )
    title = f"Train on {names(good)} negatives, not on {names(bad)} ones."
    if not _all_apart(findings, pairs):
        title = f"Try {names(good)} negatives before {names(bad)} ones."
    return Advice(title, _evidence(findings, pairs, "negatives") + why)


def method(findings: Findings) -> Advice | None:
    """Where one method of training backfires and another on the same triples does not: use the other."""
    pairs = _contrasts(
        findings,
        METHOD_KEYS,
        lambda worse, better: (
            findings.trained(worse)
            and findings.trained(better)
            and findings.variants[worse]["method"] != findings.variants[better]["method"]
        ),
    )
    spelled = {"full": "full fine-tuning", "lora": "LoRA"}
    bad = list(dict.fromkeys(findings.variants[worse]["method"] for worse, _ in pairs))
    good = list(dict.fromkeys(findings.variants[better]["method"] for _, better in pairs))
    if not pairs or set(good) & set(bad):
        return None
    verb, link = ("Prefer", "to") if _all_apart(findings, pairs) else ("Try", "before")
    title = f"{verb} {names(spelled[name] for name in good)} {link} {names(spelled[name] for name in bad)}."
    return Advice(title, _evidence(findings, pairs, "method of training"))


def forgetting(findings: Findings) -> Advice | None:
    """A variant that does not backfire on the primary split, yet falls on another: what it gained it paid for.

    Within the collection that is trained on a fall says that the gain does not carry over; forgetting is of other text.
    """
    collection, split, measure = findings.primary
    falls = {}
    for place in findings.places:
        if place[2] == measure and place[:2] != (collection, split):
            for name, row in findings.at(place).items():
                spared = name not in findings.having(Verdict.HARMS) and findings.taught(name)
                if row["verdict"] == Verdict.HARMS and spared:
                    falls.setdefault(name, []).append(f"{'/'.join(place[:2])} ({difference(row)})")
    if not falls:
        return None
    same = all(place.split("/")[0] in findings.trained_on for found in falls.values() for place in found)
    return Advice(
        f"{'The gain does not carry over' if same else 'Watch out for forgetting'}: {names(falls)}.",
        " ".join(
            f"{name} {'helps' if name in findings.having(Verdict.HELPS) else 'does not backfire'} on "
            f"{collection}/{split} but falls on {names(places)}."
            for name, places in falls.items()
        )
        + " If queries like those matter to you, keep base for them, or train with fewer steps or a lower learning "
        "rate.",
    )


def other_measures(findings: Findings) -> Advice | None:
    """A variant that helps by the primary measure and falls by another, on the same split."""
    falls = {}
    for place in findings.places:
        if place[:2] == findings.primary[:2] and place != findings.primary:
            for name, row in findings.at(place).items():
                if row["verdict"] == Verdict.HARMS and name in findings.having(Verdict.HELPS):
                    falls.setdefault(name, []).append(f"{place[2]} ({difference(row)})")
    if not falls:
        return None
    return Advice(
        "Check the measure that your use depends on.",
        " ".join(f"{name} gains in {findings.primary[2]} but loses in {names(found)}." for name, found in falls.items())
        + " A loss in recall matters when another model re-ranks these results.",
    )


def more_queries(findings: Findings) -> Advice | None:
    """What an inconclusive result leaves open, and what would settle it."""
    open_ones = findings.having(Verdict.INCONCLUSIVE)
    if not open_ones:
        return None
    takes = names(_takes(findings.claims[name]) for name in open_ones)
    return Advice(
        "Inconclusive is not equal.",
        f"On {count(_queries(findings), 'query', 'queries')} a true change anywhere in the interval remains possible: "
        f"{names(_span(findings, open_ones))}. What would be enough to settle it, by the spread that was "
        f"measured: {takes}.",
    )


def keeping(findings: Findings) -> Advice | None:
    """A variant that is better here and loses nothing that matters on text it was not trained on."""
    kept, where = {}, []
    for name in findings.having(Verdict.HELPS):
        rows = [
            row
            for place in findings.places
            if place[2] == findings.primary[2] and (row := findings.at(place).get(name)) and row["retention"]
        ]
        if rows and all(row["retention"] == Retention.KEEPS for row in rows):
            kept[name] = names(f"{row['collection']}/{row['split']} ({difference(row)})" for row in rows)
            where += [row["collection"] for row in rows]
    if not kept:
        return None
    text = " ".join(f"{name} loses nothing that matters on {places}." for name, places in kept.items())
    if set(where) <= set(findings.trained_on):
        return Advice(
            f"Nothing lost on held-out text of the same kind: {names(kept)}.",
            f"{text} That is how the gain carries over, and says little about text of another domain.",
        )
    return Advice(f"Nothing forgotten: {names(kept)}.", f"{text} A loss of the margin or more is excluded there.")


def elsewhere(findings: Findings) -> Advice | None:
    """A study that trains and looks at no other collection cannot tell what was forgotten."""
    if not findings.claims or not findings.trained_on or findings.other_text:
        return None
    judged = list(dict.fromkeys(place[0] for place in findings.places))
    return Advice(
        "Forgetting elsewhere was not tested.",
        f"Every query set here is of {names(judged)}, which {'is' if len(judged) == 1 else 'are'} trained on. What "
        "a variant does to text of another domain takes a collection of one. These lines add SciFact, claims about "
        "biomedicine (5,183 abstracts, 809 queries that no variant trains on, 3 MB to download); a folder of your own "
        "does as well:",
        ELSEWHERE,
    )


def seeds(findings: Findings) -> Advice | None:
    """What the intervals cover."""
    if not findings.claims:
        return None
    if findings.seeds == 1:
        return Advice(
            "One seed: query sampling only.",
            "The intervals say how the result could change with other queries of the same kind. They say nothing of "
            "how it could change with another training seed. Before you publish or ship, add seeds: [0, 1, 2].",
        )
    shares = [
        f"{name} {share:.0%}" for name, row in findings.claims.items() if (share := row["seed_share"]) is not None
    ]
    told = f" Of the variance of each difference, seeds make up: {names(shares)}." if shares else ""
    return Advice(
        f"{findings.seeds} seeds: covered by the intervals.",
        "They say how a difference could change with other queries of the same kind and with other training seeds, and "
        f"a claim needs them on one side of 0.{told}",
    )


RULES = (
    recommendation,
    negatives,
    method,
    hardly_trained,
    little_left,
    never_met,
    forgetting,
    keeping,
    elsewhere,
    other_measures,
    more_queries,
    seeds,
)


def _contrasts(findings: Findings, keys: set[str], differ) -> list[tuple[str, str]]:
    """(worse, better): worse backfires, better does not, their settings differ only in `keys`, and `differ` holds.

    A variant that hardly moved does no harm whatever its settings are, and is no evidence for them.
    """
    pairs = []
    still = standing(findings)
    moved = [name for name in findings.claims if name not in still]
    for worse in findings.having(Verdict.HARMS):
        for better in moved:
            one, other = findings.variants[worse], findings.variants[better]
            changed = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
            if better not in findings.having(Verdict.HARMS) and changed <= keys and differ(worse, better):
                pairs.append((worse, better))
    return pairs


def _evidence(findings: Findings, pairs: list[tuple[str, str]], what: str) -> str:
    """Says what backfired and what did not, and whether the intervals keep the two apart."""
    sentences = []
    for worse, better in pairs:
        verb = "do not overlap" if _apart(findings.claims[worse], findings.claims[better]) else "overlap"
        sentences.append(
            f"{worse} backfires ({difference(findings.claims[worse])}); {better}, which differs in its {what} alone, "
            f"does not ({difference(findings.claims[better])}). Their intervals {verb}."
        )
    if not _all_apart(findings, pairs):
        sentences.append("Where intervals overlap, this is a hint and not a finding.")
    return " ".join(sentences)


def _all_apart(findings: Findings, pairs: list[tuple[str, str]]) -> bool:
    return all(_apart(findings.claims[worse], findings.claims[better]) for worse, better in pairs)


def _apart(worse: Row, better: Row) -> bool:
    return None not in (worse["ci_high"], better["ci_low"]) and worse["ci_high"] < better["ci_low"]


def _queries(findings: Findings) -> int:
    return max((row["queries"] for row in findings.claims.values()), default=0)


def _span(findings: Findings, variants: list[str]) -> list[str]:
    return [f"{name} {interval(row['ci_low'], row['ci_high'])}" for name in variants for row in [findings.claims[name]]]


def _takes(row: Row) -> str:
    """The queries and seeds that would settle a comparison; with one seed, what seeds would add is not known."""
    if row["queries_needed"] is None:
        return f"for {row['variant']} no number that one could gather"
    more = f" and {count(row['seeds_needed'], 'seed')}" if row["seeds_needed"] is not None else ""
    return f"for {row['variant']} {count(row['queries_needed'], 'query', 'queries')}{more}"
