"""Cross-encoders, as sentence-transformers runs them: models that read query and passage together and give one score.

Nogueira and Cho (2019), "Passage re-ranking with BERT", arXiv 1901.04085.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from backfire.encoders.base import take
from backfire.encoders.folders import ORIGIN
from backfire.encoders.library import loaded_whole, quiet_transformers, understood
from backfire.errors import BackfireError
from backfire.formats.atomic import replacing, write_json

logger = logging.getLogger(__name__)

# Pairs that go through the network together, of similar length.
_AT_ONCE = 32
_PROBE = [("what is a cat", "A cat is a small animal that hunts mice."), ("cat", "")]


def prepare_cross_encoder(name: str, sha256: str | None, output: str, where: str) -> None:
    """Copy a verified cross-encoder to the folder `output`, which then loads with `CrossEncoder(output)`.

    Looked for as `encoders.base.prepare_base` looks for a model; `where` is the key that names it. Raises
    `BackfireError` for a model that gives no single score for a pair.
    """
    with replacing(output) as temporary:
        digest = take(name, sha256, temporary, where)
        write_json(temporary / ORIGIN, {"model": name, "sha256": digest})
        try:
            load_cross_encoder(temporary).scores(_PROBE)
        except BackfireError as error:
            raise BackfireError(error.message.replace(str(temporary), f"{where}: '{name}'"), error.hint) from error


class CrossEncoder:
    """A loaded cross-encoder in fp32."""

    def __init__(self, model, folder: Path):
        """Take the library's model; `folder` is named in errors."""
        self._model, self._folder = model, folder

    def scores(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """The score of each (query, passage), float32; higher is more relevant.

        They are logits, where `CrossEncoder.predict` ends with the model's activation, by default a sigmoid: the order
        is the same, and in the logits no two passages tie because both are near 1. Raises `BackfireError` for a score
        that is no number.
        """
        with understood(self._folder, "run"):
            found = self._model.predict(
                [list(pair) for pair in pairs],
                batch_size=_AT_ONCE,
                activation_fn=torch.nn.Identity(),
                show_progress_bar=False,
            )
        found = np.asarray(found, np.float32)
        if not np.isfinite(found).all():
            query, passage = pairs[int(np.flatnonzero(~np.isfinite(found))[0])]
            raise BackfireError(
                f"{self._folder}: the score of {query[:60]!r} with {passage[:60]!r} is no number.",
                "the weights are damaged, or the model overflows in fp32; try another one.",
            )
        return found


def load_cross_encoder(
    folder: str | Path, device: torch.device | str = "cpu", max_length: int | None = None
) -> CrossEncoder:
    """The cross-encoder of a folder, pairs cut at `max_length` tokens, or at the model's own limit.

    Raises `BackfireError` for one that gives several scores, as a classifier does, that has no trained head to score
    with, as a bi-encoder has none, and for whatever is wrong with its files (see `encoders.library`).
    """
    quiet_transformers()
    import sentence_transformers

    folder = Path(folder)
    more = {} if max_length is None else {"max_length": max_length}
    model, reports = loaded_whole(sentence_transformers.CrossEncoder, folder, device, {}, **more)
    for _, report in reports:
        if drawn := sorted(report.get("missing_keys") or []):
            raise BackfireError(
                f"{folder} has no weights for {drawn[0]}, so that a score would be drawn at random "
                f"({len(drawn)} are missing).",
                "it is no cross-encoder: a bi-encoder or a bare language model has no head that scores a pair. Name "
                "one, as cross-encoder/ms-marco-MiniLM-L6-v2.",
            )
    if model.num_labels != 1:
        raise BackfireError(
            f"{folder} gives {model.num_labels} scores for a pair, and a ranking takes one.",
            "it sorts pairs into classes; name a cross-encoder that was trained to rank, as "
            "cross-encoder/ms-marco-MiniLM-L6-v2.",
        )
    limit = model.max_seq_length
    logger.info("%s: pairs are cut at %s tokens", folder, "no number of" if limit is None else limit)
    return CrossEncoder(model, folder)
