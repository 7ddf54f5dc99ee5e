"""Checks of the system that is recommended, and of those beside it."""

from collections.abc import Iterator

from backfire.checks.verdicts import CLOSE, PLACE
from backfire.evaluation.families import CLAIMING
from backfire.evaluation.verdict import Verdict
from backfire.recommending.make import CHOSEN, RUNNER_UP
from backfire.study.variants import BASE


def check_recommendation(found) -> Iterator[str]:
    """Base and every claim stand there with their numbers; one of them is recommended, which helps and loses nowhere,
    or is base."""
    table, comparison = found.tables["recommendation"].set_index("variant"), found.tables["comparison"]
    here = comparison[(comparison["reference"] == BASE) & (comparison["measure"] == found.study.primary[2])]
    primary = here[here[PLACE].apply(tuple, axis=1) == tuple(found.study.primary)].set_index("variant")
    claims = primary[primary["family"].isin(CLAIMING) | (primary.index == BASE)]
    if set(table.index) != set(claims.index) or table.index.has_duplicates:
        yield "its systems are not base and the claims"
        return
    if (abs(table["delta"] - claims["delta"][table.index]) > CLOSE).any():
        yield "a difference is not that of the comparison"
    if (table["standing"] == CHOSEN).sum() != 1 or (table["standing"] == RUNNER_UP).sum() > 1:
        yield "not one system is recommended, or there are several runners-up"
        return
    chosen = table.index[table["standing"] == CHOSEN][0]
    lost = here[(here["variant"] == chosen) & (here["verdict"] == Verdict.HARMS)]
    if chosen != BASE and (claims["verdict"][chosen] != Verdict.HELPS or len(lost)):
        yield f"{chosen} is recommended, and it does not help or loses on another query set"
    costs = table[["training_time", "setup_time", "query_time", "index_size"]]
    if (costs < 0).any(axis=None):
        yield "a cost is below 0"
