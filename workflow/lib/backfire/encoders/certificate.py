"""Which path a model is run by, proven on this very model: a fast one only where it gives what the library gives.

A model's files say more than a fast path reads: prompts that pooling leaves out, a side that texts are cut on, letters
that a second file wants in lower case, modules of their own for queries. So nothing is concluded from the files. Each
model is loaded once as sentence-transformers loads it, some sixty texts are encoded as queries and as documents, and
token ids and vectors of the fast path are compared with that. Vectors of documents are compared for fewer texts where
the model was found to treat them as it treats queries. Where they differ, sentence-transformers computes.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backfire.encoders.folders import check_sums, contents
from backfire.encoders.probes import LONG_TEXTS, SHORT_TEXTS, text_of_length
from backfire.encoders.similarity import COSINE, NAMES
from backfire.errors import BackfireError
from backfire.formats.certificates import CERTIFICATE, Certificate, read_certificate, write_certificate
from backfire.provenance.fingerprints import installed_versions, value_digest

if TYPE_CHECKING:
    from backfire.encoders.tokens import Tokens

logger = logging.getLogger(__name__)

# Kind of text, token ids, and the library's vectors (texts, dimensions).
Case = tuple[str, "Tokens", np.ndarray]

TOLERANCE = 1e-5
"""By how much two entries of vectors of about unit length may differ: what fp32 sums in another order explain."""
SHORT = 48
"""Tokens that the probes are cut at, so that most are whole and the long ones are not."""
LONGEST = 1024
"""A model's own limit of tokens is tried out up to this one."""
EVERY = 8
"""Of texts that a model treats alike on both sides, so many are encoded as queries for each that is as a document."""
SMALL = 100_000_000
"""A model of fewer weights is tried out in one thread: texts one at a time give several too little to do, and where
other jobs compute beside this one, threads that wait for one another take ten times as long."""
PACKAGES = ["sentence-transformers", "tokenizers", "torch", "transformers"]


def certify(folder: str | Path, name: str) -> Certificate:
    """Find the path of a model and write it into its folder. `name` is what the model is called in messages."""
    found = prove(Path(folder))
    write_certificate(folder, found)
    logger.info("%s: %s", name, found.words())
    if found.similarity != COSINE:
        how = NAMES[found.similarity]
        logger.warning("%s: made for %s of vectors of any length, so it is ranked by that", name, how)
    return found


def certificate_of(folder: str | Path) -> Certificate:
    """The path of a model: as its folder says, where that was proven on these files with these libraries; else found.

    Raises `BackfireError` when a file of the folder is not as it was written, or no path gives the library's vectors.
    """
    folder = Path(folder)
    check_sums(folder)
    digest, versions = value_digest(contents(folder)), installed_versions(PACKAGES)
    if (folder / CERTIFICATE).is_file():
        stored = read_certificate(folder)
        if (stored.files, stored.versions) == (digest, versions):
            return stored
        logger.warning("%s was written for other files or versions; the model is tried out again", folder / CERTIFICATE)
    return _proven(folder.resolve(), digest)


@cache
def _proven(folder: Path, digest: str) -> Certificate:
    found = prove(folder, digest)
    logger.info("%s: %s", folder, found.words())
    return found


def prove(folder: Path, digest: str | None = None) -> Certificate:
    """Try out the paths of the model in a folder, in fp32 on the CPU; `digest` is that of its files, where it is known.

    Raises `BackfireError` for a model that the library does not load whole (see `load_library_model`), and for one
    whose vectors cannot be had from token ids.
    """
    # Heavy imports, which a job with a certified model is spared.
    from backfire.encoders.library import load_library_model, own_similarity

    begun = time.perf_counter()
    model = load_library_model(folder)
    loaded = time.perf_counter()
    similarity = own_similarity(folder, model)
    _check_sides(folder, model)
    _check_rows(folder, model)
    with _threads_for(model):
        found, cases = _tokens(folder, model, similarity)
        found |= _forward(folder, model, similarity, cases, found["why"])
    # The folder has another name once it is whole.
    found["why"] = found["why"].replace(f"{folder}/", "").replace(str(folder), "its folder")
    logger.info("loaded in %.1f s, tried out in %.1f s", loaded - begun, time.perf_counter() - loaded)
    return Certificate(
        **found,
        similarity=similarity,
        texts=sum(len(tokens) for _, tokens, _ in cases),
        files=digest or value_digest(contents(folder)),
        versions=installed_versions(PACKAGES),
    )


def _tokens(folder: Path, model, similarity: str) -> tuple[dict[str, Any], list[Case]]:
    """`tokens`, `limit` and `why` of a certificate; and what the forward pass is to be tried out on."""
    from backfire.encoders.library import KINDS, LibraryTokenizer, sides_differ, understood
    from backfire.encoders.tokens import fast_tokenizer, model_limit

    static = type(model[0]).__name__ == "StaticEmbedding"
    limit = model_limit(folder)
    found: dict[str, Any] = {"tokens": "fast", "why": ""}
    try:
        quick = fast_tokenizer(folder)
    except BackfireError as error:
        found = {"tokens": "library", "why": error.message}
    if static:
        # sentence-transformers cuts texts for these only where their tokenizer does.
        limit = quick.limit if found["tokens"] == "fast" else None
        rounds = [(SHORT_TEXTS + LONG_TEXTS, limit or 100_000)]
    else:
        short = SHORT if limit is None else min(SHORT, limit)
        rounds = [(SHORT_TEXTS + LONG_TEXTS, short)]
        if limit is not None and short < limit <= LONGEST:
            rounds.append(([LONG_TEXTS[1], text_of_length(limit)], limit))
    library, cases = LibraryTokenizer(model, None if static else limit), []
    with understood(folder, "tokenise and encode for"):
        apart = sides_differ(model)
        for probes, length in rounds:
            sides = {}
            for kind in KINDS:
                texts, tokens = probes, library.tokenize(probes, kind, length)
                if not (static or tokens.lengths.all()):
                    # Where no special tokens are added, the library fails on a text that is none.
                    texts = [text for text, count in zip(probes, tokens.lengths, strict=True) if count]
                    tokens = library.tokenize(texts, kind, length)
                sides[kind] = tokens
                if found["tokens"] == "fast" and (differs := _different(quick.tokenize(texts, kind, length), tokens)):
                    said = f"its own preprocessing gives other token ids for the {kind} {texts[differs[0]][:40]!r}"
                    found = {"tokens": "library", "why": said}
                if kind == "document" and not apart and not _different(sides["query"], tokens):
                    vectors = _reference(model, texts[::EVERY], kind, length, similarity)
                    if np.array_equal(vectors, cases[-1][2][::EVERY]):
                        cases.append((kind, tokens.of(range(0, len(tokens), EVERY)), vectors))
                        continue
                cases.append((kind, tokens, _reference(model, texts, kind, length, similarity)))
    return found | {"limit": limit}, cases


def _forward(folder: Path, model, similarity: str, cases: list[Case], why: str) -> dict[str, Any]:
    """`forward`, `difference` and `why` of a certificate, the last after what is to be said already."""
    for forward, build in [*_fast_forwards(folder, similarity), ("library", lambda: _by_library(model, similarity))]:
        difference, said = _difference(build, cases, similarity)
        if difference <= TOLERANCE:
            if forward == "library" and not why:
                why = "no faster path knows its layout"
            return {"forward": forward, "difference": difference, "why": why}
        why = "; ".join(filter(None, [why, said if forward != "library" else ""]))
    raise BackfireError(
        f"{folder}: {said}, so Backfire cannot run this model as sentence-transformers does.",
        "it has a setting that needs more than token ids; choose another model, and report this one.",
    )


@contextmanager
def _threads_for(model) -> Iterator[None]:
    """One thread while a small model is tried out."""
    import torch

    before = torch.get_num_threads()
    if sum(weight.numel() for weight in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _reference(model, texts: list[str], kind: str, length: int, similarity: str) -> np.ndarray:
    """Vectors as a user of the library gets them, one text at a time, so that none depends on another's padding."""
    from backfire.encoders.library import cut_at

    encode = model.encode_query if kind == "query" else model.encode_document
    with cut_at(model, length):
        return encode(texts, batch_size=1, normalize_embeddings=similarity == COSINE, show_progress_bar=False)


def _fast_forwards(folder: Path, similarity: str):
    from backfire.encoders.encoder import bert_encoder
    from backfire.encoders.static import load_static, static_module

    if static_module(folder) is not None:
        return [("static", lambda: load_static(folder))]
    return [("bert", lambda: bert_encoder(folder, "fp32", "cpu", None, similarity))]


def _by_library(model, similarity: str):
    import torch

    from backfire.encoders.encoder import Encoder
    from backfire.encoders.library import library_forward

    return Encoder(None, library_forward(model, unit=similarity != COSINE), torch.device("cpu"), similarity)


def _difference(build, cases, similarity: str) -> tuple[float, str]:
    """The largest difference of any entry to the library's, over the longest vector; and what is to be said of it."""
    from backfire.encoders.encoding import encode_tokens

    try:
        encoder = build()
        largest = 0.0
        for kind, tokens, expected in cases:
            vectors = encode_tokens(encoder, tokens, kind)
            scale = max(1.0, float(np.linalg.norm(expected, axis=1).max(initial=0))) if similarity != COSINE else 1.0
            if vectors.shape != expected.shape:
                return float("inf"), f"vectors have {vectors.shape[1]} dimensions instead of {expected.shape[1]}"
            largest = max(largest, float(np.abs(vectors - expected).max(initial=0) / scale))
        if not np.isfinite(largest):
            return float("inf"), "vectors are not finite"
        return largest, f"vectors would differ by {largest:.1e}"
    except BackfireError as error:
        return float("inf"), error.message
    # A layout that looks like one that the fast path knows and is not.
    except (KeyError, IndexError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        return float("inf"), f"{type(error).__name__}: {error}"


def _different(ours, theirs) -> list[int]:
    """Rows of two `Tokens` that are not alike."""
    return [
        row
        for row in range(len(theirs))
        if not np.array_equal(
            ours.ids[ours.starts[row] : ours.starts[row + 1]], theirs.ids[theirs.starts[row] : theirs.starts[row + 1]]
        )
    ]


def _check_sides(folder: Path, model) -> None:
    """Refuse static embeddings for one side: the library cuts the texts of that side nowhere, the others it does."""
    kinds = {type(module).__name__ for module in model.modules()}
    if "StaticEmbedding" in kinds and type(model[0]).__name__ != "StaticEmbedding":
        raise BackfireError(
            f"{folder}: one side of this model ({type(model[0]).__name__}) is a StaticEmbedding, whose texts are cut "
            "at no length.",
            "choose a model that has a transformer for queries and for documents, or one StaticEmbedding for both.",
        )


def _check_rows(folder: Path, model) -> None:
    """Refuse a tokenizer whose ids go beyond the model's table of token vectors."""
    from backfire.encoders.library import transformers_of

    tables = [(each.model.get_input_embeddings(), each.tokenizer.get_vocab()) for each in transformers_of(model)]
    if type(model[0]).__name__ == "StaticEmbedding":
        tables.append((model[0].embedding, model[0].tokenizer.get_vocab()))
    for table, vocabulary in tables:
        rows = getattr(table, "num_embeddings", None)
        vocabulary = max(vocabulary.values(), default=-1) + 1
        if rows is not None and vocabulary > rows:
            raise BackfireError(
                f"{folder}: the tokenizer knows {vocabulary} tokens, the model {rows}; some would be out of range.",
                "tokenizer and weights belong to different models; put the one that belongs to the model beside it.",
            )
