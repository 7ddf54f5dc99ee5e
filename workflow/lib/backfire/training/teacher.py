"""What a teacher gave the passages of the examples that a training sees."""

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.tables import read_rows


def teacher_scores(table: str, queries: list[str], passages: list[list[str]]) -> np.ndarray:
    """(examples, 1 + negatives) float32: the teacher's scores of the passages, column by column, of each example.

    Raises `BackfireError` for a pair that was not scored.
    """
    rows = read_rows(table, "teacher")
    known = dict(
        zip(
            zip(rows["query_id"].to_pylist(), rows["doc_id"].to_pylist(), strict=True),
            rows["teacher_score"].to_pylist(),
            strict=True,
        )
    )
    try:
        columns = [[known[pair] for pair in zip(queries, column, strict=True)] for column in passages]
    except KeyError as error:
        raise BackfireError(
            f"{table}: there is no score of the query and the passage {error.args[0]}.",
            "the scores belong to other examples; delete them and run again.",
        ) from error
    return np.array(columns, np.float32).T.copy()
