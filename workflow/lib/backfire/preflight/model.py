"""What the files of a base on this machine tell of it without loading it: positions, layers, rows for its tokens.

Read are config.json and the headers of the weights, a few kilobytes. Where a layout is not known, or a file is not what
it should be, nothing is said here: the jobs that load the model tell what they cannot use.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

import json
import re
import struct
from functools import cached_property
from pathlib import Path
from typing import Any

from backfire.encoders.folders import WEIGHTS, before_first_position
from backfire.encoders.overrides import SETTINGS
from backfire.errors import BackfireError
from backfire.study.adapters import check_fit
from backfire.study.study import Study
from backfire.study.variants import BASE, Mixed

# A header is refused by the safetensors library beyond this many bytes.
_HEADER = 100_000_000
# Models whose layers have, once loaded, the names that they have in the file.
_NAMED_ALIKE = {
    "albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta",
    "t5", "xlm-roberta",
}  # fmt: skip
# Matrices that are looked up by row.
_TABLES = re.compile(r"(.*[._])?(embeddings|embed_tokens|shared|relative_attention_bias)")
# Modules that leave the number of dimensions as it is.
_SAME_WIDTH = {"Transformer", "Pooling", "Normalize"}


class ModelFiles:
    """A model folder, in sentence-transformers layout or as transformers writes it."""

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def modules(self) -> list[tuple[str, Path]]:
        """(class, folder) of each module, in order; a folder without modules.json is a transformer alone."""
        listed = _json(self.folder / "modules.json")
        try:
            return [(each["type"].rsplit(".", 1)[-1], self.folder / each["path"]) for each in listed]
        except (TypeError, KeyError, AttributeError):
            return []

    @property
    def place(self) -> Path:
        """Folder of the module that takes the tokens."""
        return self.modules[0][1] if self.modules else self.folder

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json of the transformer; empty where there is none."""
        found = _json(self.place / "config.json")
        return found if isinstance(found, dict) else {}

    def by_distance(self, changes: dict[str, Any]) -> bool:
        """Whether it is ranked by Euclidean distance, by its files or what the study sets in them."""
        settings = _json(self.folder / SETTINGS)
        own = settings.get("similarity_fn_name") if isinstance(settings, dict) else None
        unit = bool(self.modules) and self.modules[-1][0] == "Normalize"
        return changes.get("similarity", own) == "euclidean" and not unit

    @cached_property
    def shapes(self) -> dict[str, list[int]]:
        """{tensor: shape} over all files of the weights; empty where they cannot be read."""
        index = _json(self.place / f"{WEIGHTS}.index.json")
        pieces = index.get("weight_map", {}) if isinstance(index, dict) else {}
        files = sorted(set(pieces.values())) if isinstance(pieces, dict) and pieces else [WEIGHTS]
        return {name: shape for file in files for name, shape in _header(self.place / str(file)).items()}

    @property
    def positions(self) -> int | None:
        """Tokens of the longest text that there are position embeddings for; None where the model has no such table."""
        rows = [
            shape[0] for name, shape in self.shapes.items() if name.endswith("position_embeddings.weight") and shape
        ]
        if not rows:
            return None
        return max(rows) - before_first_position(self.config)

    @property
    def layers(self) -> list[str]:
        """Names of the linear layers; none where names in the file may not be those of the loaded model."""
        if self.config.get("model_type") not in _NAMED_ALIKE:
            return []
        matrices = [name for name, shape in self.shapes.items() if len(shape) == 2 and name.endswith(".weight")]
        names = [name.removesuffix(".weight") for name in matrices]
        return [name for name in names if not _TABLES.fullmatch(name)]

    @property
    def rows(self) -> int | None:
        """Tokens that the model has a vector for."""
        for name, shape in self.shapes.items():
            if name.endswith(("word_embeddings.weight", "embed_tokens.weight", "tok_embeddings.weight")) and shape:
                return shape[0]
        static = bool(self.modules) and self.modules[0][0] == "StaticEmbedding"
        return next(iter(self.shapes.get("embedding.weight", [])), None) if static else None

    @property
    def dimensions(self) -> int | None:
        """Length of its vectors, where no module changes that of the transformer."""
        plain = self.modules and {kind for kind, _ in self.modules} <= _SAME_WIDTH
        found = self.config.get("hidden_size")
        return found if plain and isinstance(found, int) else None

    @property
    def last_token(self) -> tuple[int, str] | None:
        """The highest id that tokenizer.json gives, and its token; takes some 10 ms for 30,000 tokens."""
        found = _json(self.place / "tokenizer.json")
        try:
            vocabulary = found["model"]["vocab"]
            named = [(value, key) for key, value in vocabulary.items()] if isinstance(vocabulary, dict) else []
            named += [] if named else [(number, entry[0]) for number, entry in enumerate(vocabulary)]
            named += [(entry["id"], entry["content"]) for entry in found.get("added_tokens") or []]
            return max(named, default=None)
        except (TypeError, KeyError, AttributeError, IndexError):
            return None


def check_model(study: Study, origin: str, model: ModelFiles, thoroughly: bool = False) -> None:
    """Raise `BackfireError` where the study asks more of a model than it has.

    `origin` is the variant that takes the model as it is. With `thoroughly` the tokenizer is read as well, which takes
    longer.
    """
    source = study.source_of(origin)
    children = [name for name in study.trained if study.origin(name) == origin]
    if (positions := model.positions) is not None:
        for where, length in _lengths(study, origin, children):
            if length > positions:
                raise BackfireError(
                    f"{where}: {length} tokens, but '{source['name']}' has positions for {positions}.",
                    f"set {where} to at most {positions}.",
                )
    for name in children:
        if study.variants[name].adapted and model.layers:
            layers = [_bare(layer) for layer in model.layers]
            check_fit(f"variants.{name}.lora", study.variants[name].settings["lora"], layers)
    if thoroughly and (rows := model.rows) and (last := model.last_token) and last[0] >= rows:
        raise BackfireError(
            f"{source['where']}: '{source['name']}' has {rows} token vectors, but its tokenizer gives "
            f"'{last[1]}' the number {last[0]}.",
            "tokens were added without `resize_token_embeddings`, or the tokenizer is another model's; put it right "
            "and save the model again.",
        )


def check_mixes(study: Study, models: dict[str, ModelFiles]) -> None:
    """Raise `BackfireError` for an average over models of different shapes, as far as `models`, by origin, tell."""
    for name in study.named(Mixed):
        origins = list(dict.fromkeys(study.origin(parent) for parent in study.variants[name].parents))
        known = [(origin, models[origin].shapes) for origin in origins if origin in models and models[origin].shapes]
        for origin, shapes in known[1:]:
            first, own = ({_bare(key): shape for key, shape in each.items()} for each in (known[0][1], shapes))
            differ = sorted(key for key in first.keys() & own.keys() if first[key] != own[key])
            if differ or not first.keys() & own.keys():
                told = f"{differ[0]} is {first[differ[0]]} and {own[differ[0]]}" if differ else "no weight has one name"
                raise BackfireError(
                    f"variants.{name}.of: the models of '{known[0][0]}' and '{origin}' have not the same weights "
                    f"({told}).",
                    "mix models that were tuned from one and the same base.",
                )


def _bare(tensor: str) -> str:
    """The name of a tensor without what a class of the library puts before it."""
    return re.sub(r"^(albert|bert|deberta|distilbert|electra|model|mpnet|roberta)[.]", "", tensor)


def _lengths(study: Study, origin: str, children: list[str]) -> list[tuple[str, int]]:
    """(key, tokens) of every maximum length that the study sets for a model and what is trained from it."""
    tried = (study.config["protocol"] or {}).get("max_lengths", []) if origin == BASE else []
    found = [("encoding.max_length", study.config["encoding"]["max_length"])]
    found += [("protocol.max_lengths", length) for length in tried]
    return found + [(f"variants.{name}.max_length", study.variants[name].settings["max_length"]) for name in children]


def _json(path: Path) -> Any:
    """The content of a JSON file, None where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _header(path: Path) -> dict[str, list[int]]:
    """{tensor: shape} of a safetensors file (https://huggingface.co/docs/safetensors): 8 bytes of length, then JSON."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            entries = json.loads(stream.read(length)) if length <= _HEADER else {}
        return {name: list(entry["shape"]) for name, entry in entries.items() if name != "__metadata__"}
    except (OSError, ValueError, struct.error, TypeError, KeyError, AttributeError):
        return {}
