"""How long a model takes to encode queries, one at a time and in batches, with all models timed side by side.

All are loaded in one process and every batch is encoded by each of them before the next batch comes, in an order that
is drawn anew each time: what slows the machine down for a while slows all of them. Timed one job after another, two
models of the very same architecture differ by what the machine did meanwhile.
"""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backfire.datasets.passages import query_texts
from backfire.encoders.encoder import Encoder, StaticEncoder, load_encoder
from backfire.encoders.encoding import encode, token_batches
from backfire.encoders.folders import weight_files
from backfire.encoders.halving import halving
from backfire.encoders.tokens import padded
from backfire.formats.tables import write_rows
from backfire.jobs.logs import progress
from backfire.keyed import keyed_rng, keyed_sample

MERGED, UNMERGED = "merged", "unmerged"
# Batches of each size that are encoded by all before any is timed.
WARM_UP = 2


class Model(NamedTuple):
    """A model folder by its variant and seed; `base`: what its adapter is applied to, where it has one."""

    variant: str
    seed: int
    folder: str
    base: str | None


class _Timed(NamedTuple):
    """An encoder that is timed; `adapter` says whether it is merged, None where the model has none."""

    model: Model
    adapter: str | None
    encoder: Encoder | StaticEncoder


def measure_latency(
    models: Sequence[Model],
    queries: str,
    count: int,
    batches: Sequence[int],
    rounds: int,
    max_length: int,
    precision: str,
    label: str,
    times: str,
    quantities: str,
) -> None:
    """Time how long each of `models` takes to encode queries, tokenising included.

    `queries`: a table, of which `count` are sampled; a batch larger than they are holds some of them again.
    A single query is timed for each of the sampled ones, a larger size of `batches` for `rounds` batches. A model with
    an adapter is timed twice: merged, and with the adapter applied beside the weights of what it changes, as one would
    serve several adapters over one model. Writes every time to the table `latency` (`times`), and to the table `cost`
    (`quantities`) the number of parameters, and of a model with an adapter the largest absolute difference of a
    component between its two vectors of a sampled query.
    """
    texts = query_texts(queries)
    sample = [texts[query_id] for query_id in keyed_sample(texts, count, "latency")]
    timed = list(_loaded(models, precision))
    numbers = {size: len(sample) if size == 1 else rounds for size in batches}
    rows = []
    with progress(label, sum(numbers.values()), "batch") as bar:
        for size, last in numbers.items():
            for number in range(-WARM_UP, last):
                first = number * size if number >= 0 else 0
                batch = [sample[(first + place) % len(sample)] for place in range(size)]
                # The order is drawn by where the batch stands alone, so a model more does not change what is encoded.
                for place in keyed_rng("latency", size, number).permutation(len(timed)):
                    model, adapter, encoder = timed[place]
                    begun = time.perf_counter()
                    _embed(encoder, batch, max_length)
                    took = 1000 * (time.perf_counter() - begun)
                    if number >= 0:
                        found = {"variant": model.variant, "seed": model.seed, "adapter": adapter}
                        rows.append(found | {"batch": size, "round": number, "milliseconds": took})
                bar.update(number >= 0)
    write_rows(times, "latency", rows)
    write_rows(quantities, "cost", _quantities(timed, sample, max_length))


def _loaded(models: Sequence[Model], precision: str) -> Iterator[_Timed]:
    for model in models:
        adapter = Path(model.folder) / "adapter"
        has_one = model.base is not None and adapter.is_dir()
        yield _Timed(model, MERGED if has_one else None, load_encoder(model.folder, precision))
        if has_one:
            yield _Timed(model, UNMERGED, load_encoder(model.base, precision, adapter=adapter))


def _embed(encoder: Encoder | StaticEncoder, batch: list[str], max_length: int) -> None:
    """Encode a batch as it is: texts of equal padded length together, and none filled up with repeated texts, as those
    are whose vectors must not depend on their batch (see `Encoder.steady_tokens`)."""
    tokens = encoder.tokenize(batch, "query", max_length)
    batches = token_batches(padded(tokens.lengths), encoder.batch_tokens)
    for _, finish in halving(lambda rows: encoder.begin(tokens, "query", rows), batches):
        finish()


def _quantities(timed: Sequence[_Timed], sample: list[str], max_length: int) -> list[dict[str, Any]]:
    """Rows of the table `cost`."""
    rows, merged = [], None
    for model, adapter, encoder in timed:
        row = {"variant": model.variant, "seed": model.seed}
        if adapter != UNMERGED:
            count = float(_parameters(model.folder))
            rows.append(row | {"quantity": "total_parameters", "value": count, "unit": "count"})
        if adapter == MERGED:
            merged = encode(encoder, sample, "query", max_length)
        if adapter == UNMERGED:
            apart = float(np.abs(encode(encoder, sample, "query", max_length) - merged).max())
            rows.append(row | {"quantity": "unmerged_difference", "value": apart, "unit": "1"})
    return rows


def _parameters(model: str) -> int:
    """Number of parameters in a model folder's weights; integer buffers do not count."""
    from safetensors import safe_open

    count = 0
    for file in weight_files(Path(model)):
        with safe_open(file, framework="numpy") as weights:
            slices = [weights.get_slice(name) for name in weights.keys()]  # noqa: SIM118
            count += sum(math.prod(part.get_shape()) for part in slices if "F" in part.get_dtype())
    return count
