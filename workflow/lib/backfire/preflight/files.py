"""Configuration files as they were written, before the engine merges them: what YAML would drop without a word.

Loaded whenever the DAG is built, so it uses the standard library and PyYAML only.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from backfire.errors import BackfireError

# The parser in C takes a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER, _MERGE = "tag:yaml.org,2002:int", "tag:yaml.org,2002:merge"
# What YAML 1.1 reads in base 8 or 60: 010 is 8, and 1:30 is 90.
_OTHER_BASES = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+)")


def check_files(files: Iterable[str | Path]) -> None:
    """Raise `BackfireError` where a file says a key twice in one block, or a number that YAML reads otherwise.

    The last of two keys wins, for YAML and JSON alike, and the first vanishes with all that it holds. Anchors and merge
    keys (`<<`) are taken as the engine takes them. What cannot be parsed is left to the engine, which refuses it.
    """
    for file in files:
        try:
            text = Path(file).read_text(encoding="utf-8")
            # A string of JSON holds no tab, and YAML, which reads the rest of JSON, refuses tabs in front of a key.
            top = yaml.compose(text.replace("\t", " ") if _is_json(text) else text, _LOADER)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        found = list(_faults(top, "", set()))
        if found:
            raise BackfireError(
                "\n".join([f"{file} does not say what it seems to:", *(f"  {line}" for line in found)]),
                "put what belongs together under one key, and write numbers in plain digits.",
            )


def read_layer(file: str | Path) -> Any:
    """What a configuration file says by itself; None for one that cannot be read, which the engine tells."""
    try:
        text = Path(file).read_text(encoding="utf-8")
        if _is_json(text):
            return json.loads(text)
        parsing = _LOADER(text)
        try:
            return parsing.get_single_data()
        finally:
            parsing.dispose()
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def read_given(given: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """What `--config` gives, its lists and blocks read as YAML of a file is: to the engine all in them is text.

    What is read replaces the text in `config`, which it has been merged into. The engine drops quotes, so that a text
    which looks like a number is one.
    """
    read = {}
    for key, value in given.items():
        read[key] = _read(value) if isinstance(value, (dict, list)) else value
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _put(read[key], config[key])
        else:
            config[key] = read[key]
    return read


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _read(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_read(each) for each in value]
    try:
        # A number that YAML reads in another base is told as text: see `check_files`.
        plain = isinstance(value, str) and not _OTHER_BASES.fullmatch(value)
        found = yaml.safe_load(value) if plain else value
    except yaml.YAMLError:
        return value
    return found if found is None or isinstance(found, (bool, int, float)) else value


def _put(values: dict[str, Any], config: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _put(value, config[key])
        else:
            config[key] = value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _faults(node: Any, where: str, seen: set[int]) -> Iterator[str]:
    """A line for each fault at `node` or below it; `seen` holds the blocks looked at, which aliases repeat."""
    if isinstance(node, yaml.ScalarNode) and node.tag == _INTEGER and _OTHER_BASES.fullmatch(node.value):
        line = node.start_mark.line + 1
        yield f"{where}: YAML reads {node.value} in line {line} as {yaml.safe_load(node.value)}"
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, each in enumerate(node.value):
            yield from _faults(each, f"{where}.{number}", seen)
        return
    first: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            line, name = key.start_mark.line + 1, f"{where}.{key.value}".lstrip(".")
            if (earlier := first.get((key.tag, key.value))) is not None:
                lines = f"lines {earlier} and {line}" if earlier != line else f"line {line}"
                yield f"'{name}' stands twice, in {lines}, and only the last one would count"
            first[key.tag, key.value] = line
            yield from _faults(value, name, seen)
        else:
            yield from _faults(value, where, seen)
