"""Encoding against `SentenceTransformer.encode` as it comes: fp32, batches of 32, sorted by length.

Both start from the same docstrings and end with unit vectors in memory; tokenising counts on both sides. FLOP are those
of the matrix products of a BERT: 24 h^2 a token and layer with an inner size of 4 h, and 4 L h for attention.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backfire.encoders.device import pick_device
from backfire.encoders.encoder import load_encoder, load_tokenizer
from backfire.encoders.encoding import encode
from backfire.encoders.folders import find_base
from backfire.encoders.settled import multiplied
from backfire.encoders.tokens import padded
from backfire.keyed import keyed_sample
from bench.pairs import Pair, pair
from bench.questions import docstrings

BASE = "sentence-transformers/all-MiniLM-L6-v2"
LENGTH = 256


def passages(count: int) -> list[str]:
    """Docstrings of the packages installed here, as in the default study, those with the smallest hash of their id."""
    texts = docstrings()
    return [texts[doc_id] for doc_id in keyed_sample(texts, count, 0)]


def flop(config: dict, lengths: np.ndarray) -> float:
    """Floating-point operations of the matrix products of a forward pass over texts of these lengths."""
    size, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    linear = 2 * (4 * size * size + 2 * size * inner)
    return float(layers * (linear * lengths.sum() + 4 * size * (lengths.astype(np.float64) ** 2).sum()))


def run(arguments) -> Iterator[Pair]:
    """Rows for each precision that this machine computes natively."""
    from sentence_transformers import SentenceTransformer

    base, device = find_base(BASE), pick_device()
    texts = passages(arguments.passages)
    lengths = load_tokenizer(base).tokenize(texts, "document", LENGTH).lengths
    peer = SentenceTransformer(str(base), device=str(device))
    peer.max_seq_length = LENGTH
    config = json.loads((Path(base) / "config.json").read_text())
    for precision in reversed(multiplied()):
        encoder = load_encoder(base, precision, device)
        found = pair(
            f"encode, {precision}, {len(texts):,} passages of {lengths.mean():.0f} tokens",
            ours=lambda encoder=encoder: encode(encoder, texts, "document", LENGTH),
            peer=lambda: peer.encode(texts, normalize_embeddings=True),
            peer_name="SentenceTransformer.encode",
            rounds=arguments.rounds,
            work=float(lengths.sum()),
            unit="tokens",
            agreement=lambda ours, theirs: f"smallest cosine {(ours * theirs).sum(axis=1).min():.6f}",
        )
        found.flop = flop(config, padded(lengths))
        yield found
