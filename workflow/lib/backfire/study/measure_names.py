"""Names of measures, in the spelling of `ir_measures` and in no other: tables, margins and verdicts go by them."""

import re
from typing import Any

from backfire.errors import BackfireError, nearest

# What other tools call them, in lower case, where ir_measures has no alias that differs in case alone.
ELSEWHERE = {
    "recip_rank": "RR", "ndcg_cut": "nDCG", "map_cut": "AP",
    "hit": "Success", "hits": "Success", "hit_rate": "Success", "hitrate": "Success",
}  # fmt: skip


def measure_named(name: str, relevant_from: int = 1) -> Any:
    """The `ir_measures` measure that `name` (as RR@10, nDCG@10, P(rel=2)@5) stands for.

    Where the measure tells relevant from irrelevant only (it has a parameter `rel` that is 1 by default: RR, R, P,
    AP, Success, ...) and `name` sets no `rel`, grades from `relevant_from` up are relevant, as with trec_eval's
    option -l. Measures of grades, as nDCG, are left as they are. Raises `BackfireError` when there is no such
    measure, it goes by another name, or no installed provider computes it.
    """
    import ir_measures

    try:
        measure = ir_measures.parse_measure(name)
        called = re.split("[@(]", name)[0]
        if called != measure.NAME:
            raise BackfireError(
                f"measure '{name}': that is another name of '{measure.NAME}'.",
                f"write {measure.NAME + name[len(called) :]}, as ir_measures does; results go by that name.",
            )
        if relevant_from > 1 and is_binary(measure):
            measure = measure(rel=relevant_from)
        if measure.params.get("cutoff", 1) < 1:
            raise ValueError("the cutoff must be at least 1")
        if ir_measures.DefaultPipeline.supports(measure):
            return measure
        at = f" (as {measure!r})" if repr(measure) != name else ""
        reason = f"no installed provider of ir_measures computes it with these parameters{at}"
        hint = "choose another, such as RR@10, nDCG@10, R@100 or AP."
    except NameError:
        reason = "ir_measures knows no such measure"
        hint = _meant(name)
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        reason = f"ir_measures does not accept it: {error}"
        hint = "write it as NAME, NAME@cutoff or NAME(parameter=value)@cutoff, as in RR@10 or P(rel=2)@5."
    raise BackfireError(f"measure '{name}': {reason}.", hint)


def is_binary(measure: Any) -> bool:
    """Whether an `ir_measures` measure tells relevant from irrelevant only, without saying from which grade."""
    rel = measure.SUPPORTED_PARAMS.get("rel")
    return rel is not None and rel.default == 1 and "rel" not in measure.params


def _meant(name: str) -> str:
    """A hint that names the measure meant by `name`, its cutoff kept: nDCG@10 for ndcg@10 or ndcg_cut_10."""
    import ir_measures

    stem, _, cutoff = re.fullmatch(r"(.*?)([@_](\d+))?", name.split("(")[0], re.DOTALL).groups()
    registry = ir_measures.measures.registry
    spelled = {known.casefold(): measure.NAME for known, measure in registry.items()}
    found = ELSEWHERE.get(stem.casefold()) or spelled.get(stem.casefold())
    if found is None:
        return nearest(stem, registry)
    return f"did you mean '{found}{f'@{cutoff}' if cutoff else ''}'?"
