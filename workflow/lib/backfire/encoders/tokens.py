"""Texts to token ids, by the Rust tokenizers alone where a model brings `tokenizer.json`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from backfire.encoders.folders import before_first_position, modules_of, read_settings
from backfire.errors import BackfireError

TOKENIZER = "tokenizer.json"
# A tokenizer's own records take a hundred times the memory of the ids, so they are made for this many texts at once.
TOKENIZED_AT_ONCE = 4096
# Texts are padded to a multiple of this many tokens. With whole AVX-512 vectors of floats, matrix kernels on a CPU sum
# in the same order whatever the batch: the bits of a text's vector then depend on the text alone.
PADDING = 16


def padded(length):
    """The number of tokens that a text of `length` tokens is padded to; of a number, or of an array of them."""
    return -(-length // PADDING) * PADDING


@dataclass(frozen=True)
class Tokens:
    """Token ids of texts, one after another: `ids` (int32), and where each text starts, and the last ends, in `starts`.

    `starts` (int64) has one entry more than there are texts. Memory: 4 bytes a token and 8 a text.
    """

    ids: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64."""
        return np.diff(self.starts)

    def of(self, rows: Sequence[int]) -> "Tokens":
        """Those of some texts, in the order given."""
        return tokens_of([self.ids[self.starts[row] : self.starts[row + 1]] for row in rows])

    def padded(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask of some texts, both int64 of (texts, length), the length whole blocks of `PADDING` tokens.

        Padding has id 0, which is of no account behind a mask of 0.
        """
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.starts[rows + 1] - self.starts[rows]
        places = np.arange(padded(int(lengths.max(initial=1))))
        mask = places < lengths[:, None]
        ids = np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = self.ids[(self.starts[rows, None] + places)[mask]]
        return ids, mask.astype(np.int64)


def tokens_of(texts: Sequence[Sequence[int]]) -> Tokens:
    """`Tokens` of texts given as sequences of ids."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Tokens(np.fromiter(chain.from_iterable(texts), np.int32, int(starts[-1])), starts)


def joined(pieces: Sequence[Tokens]) -> Tokens:
    """The texts of some `Tokens` one after another."""
    lengths = np.concatenate([[0], *(piece.lengths for piece in pieces)])
    return Tokens(np.concatenate([np.empty(0, np.int32), *(piece.ids for piece in pieces)]), np.cumsum(lengths))


class ModelTokenizer:
    """The tokenizer of a model, with its limit of tokens and its own prompts for queries and documents."""

    def __init__(self, tokenizer, limit: int | None, prompts: dict[str, str], special: bool = True):
        """`tokenizer` is a `tokenizers.Tokenizer`; `special` adds the special tokens of the model."""
        tokenizer.no_padding()
        self._tokenizer, self._limit, self._prompts, self._special = tokenizer, limit, prompts, special

    @property
    def limit(self) -> int | None:
        """Tokens that the model takes at most, None without a limit."""
        return self._limit

    @property
    def vocabulary_size(self) -> int:
        """Number of different tokens."""
        return self._tokenizer.get_vocab_size()

    def tokenize(self, texts: Sequence[str], kind: str, max_length: int) -> Tokens:
        """Token ids of each text, cut at `max_length`, behind the model's own prompt for `kind` (query or document).

        Raises `BackfireError` when the model takes no texts of that length.
        """
        if self._limit is not None and max_length > self._limit:
            raise BackfireError(
                f"max_length: {max_length} tokens, but this model takes at most {self._limit}.",
                "lower encoding.max_length or the variant's max_length.",
            )
        self._tokenizer.enable_truncation(max_length)
        prompt = self._prompts.get(kind, "")
        pieces = []
        for start in range(0, len(texts), TOKENIZED_AT_ONCE):
            some = [prompt + text for text in texts[start : start + TOKENIZED_AT_ONCE]]
            found = self._tokenizer.encode_batch_fast(some, add_special_tokens=self._special)
            pieces.append(tokens_of([each.ids for each in found]))
        return joined(pieces)


def fast_tokenizer(folder: str | Path) -> ModelTokenizer:
    """The Rust tokenizer of a model folder in sentence-transformers layout, with the prompts that the model names.

    A model of static embeddings adds no special tokens. A folder without `tokenizer.json` (an older one, with a
    vocabulary only) is converted by transformers. Whether the model's own preprocessing gives the same ids is for
    `encoders.certificate` to say. Raises `BackfireError` where there is no such tokenizer.
    """
    folder = Path(folder)
    first, place = next(iter(modules_of(folder)), ("", folder))
    if first == "StaticEmbedding":
        tokenizer = _read(place / TOKENIZER)
        # A truncation that it carries is the model's own limit.
        limit = (tokenizer.truncation or {}).get("max_length")
        return ModelTokenizer(tokenizer, limit, load_prompts(folder), special=False)
    tokenizer = _read(place / TOKENIZER) if (place / TOKENIZER).is_file() else _converted(place)
    return ModelTokenizer(tokenizer, model_limit(folder), load_prompts(folder))


def _converted(place: Path):
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(place, local_files_only=True).backend_tokenizer
    # There is no one exception for a tokenizer without a fast version: it is lacking, or cannot be made.
    except Exception as error:
        raise BackfireError(
            f"{place} holds no {TOKENIZER}, and its tokenizer has no fast version", "it is used through transformers."
        ) from error


def _read(path: Path):
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    # The library raises nothing narrower.
    except Exception as error:
        raise BackfireError(
            f"{path}: not a readable tokenizer ({error}).",
            "it is missing, cut short or damaged; delete the model's folder and run again, or fetch it anew.",
        ) from error


def load_prompts(folder: Path) -> dict[str, str]:
    """The prompts a model names for queries and documents; without one, text goes in as it is."""
    config = _json(folder / "config_sentence_transformers.json")
    named = config.get("prompts") or {}
    default = named.get(config.get("default_prompt_name") or "", "")
    document = next((named[key] for key in ("document", "passage", "corpus") if key in named), default)
    return {"query": named.get("query", default), "document": document}


def model_limit(folder: Path) -> int | None:
    """Tokens that the model takes at most, after its tokenizer and its position embeddings; None without a limit.

    Of a model with several transformers, the smallest.
    """
    limits = []
    for config in sorted(folder.rglob("config.json")):
        settings = _json(config)
        positions = settings.get("max_position_embeddings") if isinstance(settings, dict) else None
        if not positions:
            continue
        positions -= before_first_position(settings)
        limits += [positions, _json(config.parent / "tokenizer_config.json").get("model_max_length")]
    if not limits:
        limits = [_json(folder / "tokenizer_config.json").get("model_max_length")]
    # Tokenizers without a limit carry a number of thirty digits.
    limits = [int(value) for value in limits if value and value < 1e9]
    return min(limits) if limits else None


def _json(path: Path) -> dict:
    return read_settings(path) if path.is_file() else {}
