"""What a study sets of a model in place of its files: prompts and similarity, written into the study's own copy.

There everything that runs the model reads them, Backfire's paths and sentence-transformers alike, so that training,
encoding, mining and timing cannot differ. Standard library only, since the DAG asks for the prompts of known families.
"""

import logging
import re
from pathlib import Path
from typing import Any

from backfire.encoders.folders import read_settings
from backfire.errors import BackfireError
from backfire.formats.atomic import write_json

logger = logging.getLogger(__name__)

SETTINGS = "config_sentence_transformers.json"
_DOCUMENT = ("document", "passage", "corpus")
_RELEVANT = "Represent this sentence for searching relevant passages: "
# Families whose older folders name no prompts though their cards ask for them, by name.
_FAMILIES = {
    r"(^|[/_-])(multilingual-)?e5-(small|base|large)": {"query": "query: ", "passage": "passage: "},
    r"bge-(small|base|large)-en": {"query": _RELEVANT},
    r"bge-(small|base|large)-zh": {"query": "为这个句子生成表示以用于检索相关文章："},  # noqa: RUF001
    r"mxbai-embed-(large|xsmall)|snowflake-arctic-embed-(xs|s|m|l)(-v1|$)": {"query": _RELEVANT},
    r"nomic-embed-text": {"query": "search_query: ", "passage": "search_document: "},
}


def override(folder: Path, changes: dict[str, Any], where: str) -> None:
    """Write `changes` (`prompts`: {query, passage}, `similarity`: cosine or dot) into the settings of a model folder.

    Raises `BackfireError`, which begins with `where`, for a folder in which sentence-transformers reads no such
    settings.
    """
    if not changes:
        return
    if not (folder / "modules.json").is_file():
        raise BackfireError(
            f"{where}: {' and '.join(changes)} cannot be set for a folder without modules.json, where "
            "sentence-transformers reads no such settings.",
            "write the model once in its layout: SentenceTransformer(folder).save_pretrained(another_folder).",
        )
    file = folder / SETTINGS
    settings = read_settings(file) if file.is_file() else {}
    if prompts := changes.get("prompts"):
        settings["prompts"] = _prompts(settings, prompts)
    if similarity := changes.get("similarity"):
        own = settings.get("similarity_fn_name") or "cosine"
        if own != similarity:
            logger.warning("%s: its files say '%s', and the study compares by '%s'", where, own, similarity)
        settings["similarity_fn_name"] = similarity
    write_json(file, settings, sealed=False)


def named_prompts(settings: Any) -> bool:
    """Whether the settings of a model name a prompt for queries or passages, or one for everything."""
    settings = settings if isinstance(settings, dict) else {}
    prompts = settings.get("prompts") or {}
    return bool(settings.get("default_prompt_name")) or any(prompts.get(key) for key in ("query", *_DOCUMENT))


def lacking_prompts(name: str, folder: Path | None) -> str | None:
    """The prompts that a model's family was trained with, as a line of a study, where its folder names none."""
    file = folder / SETTINGS if folder else None
    if file is None or (file.is_file() and named_prompts(read_settings(file))):
        return None
    for pattern, prompts in _FAMILIES.items():
        if re.search(pattern, name.lower()) and "instruct" not in name.lower():
            said = ", ".join(f'{kind}: "{prompt}"' for kind, prompt in prompts.items())
            return f"prompts: {{{said}}}"
    return None


def _prompts(settings: dict[str, Any], prompts: dict[str, str]) -> dict[str, str]:
    """The prompts of a folder with the study's in their place; a kind that the study leaves out keeps its own."""
    found = dict(settings.get("prompts") or {})
    if "passage" in prompts:
        found = {key: value for key, value in found.items() if key not in _DOCUMENT}
        found["document"] = prompts["passage"]
    if "query" in prompts:
        found["query"] = prompts["query"]
    return found
