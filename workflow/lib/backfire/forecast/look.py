"""A look at every variant before its first step: its own objective, on examples that it would be trained on."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backfire.datasets.passages import doc_ids, texts_by_id
from backfire.encoders.device import pick_device
from backfire.encoders.encoder import load_tokenizer
from backfire.encoders.overrides import lacking_prompts
from backfire.encoders.tokens import ModelTokenizer
from backfire.errors import BackfireError
from backfire.forecast.findings import Look
from backfire.formats.atomic import write_json
from backfire.formats.tables import read_rows, write_rows
from backfire.jobs.logs import progress
from backfire.keyed import keyed_sample
from backfire.training.data import Examples, epoch_order, load_examples
from backfire.training.model_vectors import ModelVectors
from backfire.training.steps import Stepper
from backfire.training.trainable import load_start

EXAMPLES = 128
"""Examples of each variant that are looked at: those that its first epoch would begin with."""
PASSAGES = 500
"""Passages of a collection whose length is looked at."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """A variant to look at: its settings, the seed, the model folder that it starts from and that model's name, the
    table of its examples and that of its teacher, where it follows one."""

    name: str
    settings: dict[str, Any]
    seed: int
    start: str
    base_name: str
    triples: str
    teacher: str | None = None


def look_ahead(
    base: str,
    subjects: Sequence[Subject],
    queries: str | None,
    qrels: str | None,
    corpus: Sequence[str],
    collections: Mapping[str, Sequence[str]],
    max_length: int,
    base_vectors: Sequence[str],
    models: Mapping[str, tuple[str, str]],
    label: str,
    output: str,
) -> None:
    """Write, as JSON: `looks` of `subjects` (see `findings.Look`), why one was not taken (`unlooked`), the share of
    passages that `max_length` tokens of the model in the folder `base` cut, by collection (`cut`), and prompts that
    `models`, (folder, hub name) by variant, lack (`lacking`).

    `queries`, `qrels` and `corpus` are those that are trained on, `collections` the shards of each that is encoded,
    `base_vectors` as for a training. Nothing is trained, a model is read once for each variant, and all is computed in
    fp32.
    """
    looks, unlooked, read = {}, {}, {}
    vectors = ModelVectors.at(list(base_vectors))
    with tempfile.TemporaryDirectory() as scratch, progress(label, len(subjects), "variant") as bar:
        for each in subjects:
            try:
                model = load_start(
                    each.start, each.settings | {"precision": "fp32"}, each.base_name, each.seed, pick_device()
                )
                # Variants that read the same examples alike share them.
                kind = (each.start, each.triples, each.teacher, each.settings["max_length"])
                if kind not in read:
                    few = _few(each, Path(scratch))
                    length = each.settings["max_length"]
                    read[kind] = load_examples(
                        few, queries, list(corpus), model.tokenizer, length, qrels, vectors, vectors, each.teacher
                    )
                looks[each.name] = vars(_look(Stepper(model, each.settings, 1, each.seed), read[kind], each))
                log.info("%s: %s", each.name, looks[each.name])
            except BackfireError as error:
                unlooked[each.name] = error.message
                log.warning("%s was not looked at: %s", each.name, error)
            bar.update(1)
    tokenizer = load_tokenizer(base)
    cut = {name: _cut_share(shards, tokenizer, max_length) for name, shards in collections.items()}
    found = {name: lacking_prompts(hub, Path(folder)) for name, (folder, hub) in models.items()}
    lacking = {name: prompts for name, prompts in found.items() if prompts}
    write_json(output, {"looks": looks, "unlooked": unlooked, "cut": cut, "lacking": lacking})


def _few(each: Subject, scratch: Path) -> str:
    """A table of the first examples of the first epoch, of `EXAMPLES` of them at most, in the order of the set."""
    table = read_rows(each.triples, "triples")
    count = pc.max(table["example"]).as_py() + 1
    chosen = np.sort(epoch_order(count, each.seed, 0)[:EXAMPLES]).astype(np.int32)
    table = table.filter(pc.is_in(table["example"], pa.array(chosen)))
    table = table.set_column(
        table.column_names.index("example"), "example", pc.index_in(table["example"], value_set=pa.array(chosen))
    )
    path = scratch / f"{each.name}.parquet"
    write_rows(path, "triples", table)
    return str(path)


def _look(stepper: Stepper, examples: Examples, each: Subject) -> Look:
    found = stepper.judge(examples, min(each.settings["batch_size"], EXAMPLES))
    full = examples.tokens.lengths >= each.settings["max_length"]
    return Look(
        len(examples),
        found.loss,
        found.accuracy,
        found.active,
        found.norm,
        stepper.model.similarity,
        cut_queries=float(full[examples.rows[:, 0]].mean()),
        cut_passages=float(full[examples.rows[:, 1:]].mean()),
    )


def _cut_share(shards: Sequence[str], tokenizer: ModelTokenizer, max_length: int) -> float:
    """The share of some passages that are as long as what is kept of a text, or longer."""
    chosen = keyed_sample(doc_ids(shards), PASSAGES, "cut")
    texts = texts_by_id(shards, "corpus", chosen)
    return float((tokenizer.tokenize(list(texts.values()), "document", max_length).lengths >= max_length).mean())
