"""Configuration files one on top of the other, where a block comes in kinds.

The engine merges files key by key. Where one on top gives a block another kind, as `negatives: published` in place of
`bm25`, what the files beneath say of the old kind alone would stay, and be refused.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections.abc import Sequence
from typing import Any

from backfire.study.kinds import resolved

# What tells the kind of a block that does not name it: the part, a key that only this kind has, and what it then is.
_TOLD = (
    ("triples", "file", "negatives", "file"),
    ("collections", "of", "kind", "joined"),
    ("collections", "corpus", "kind", "source"),
)


def name_kinds(config: dict[str, Any]) -> None:
    """Name the kind of each triple set and collection whose own keys tell it, in place."""
    for part, key, naming, kind in _TOLD:
        blocks = config.get(part)
        for block in blocks.values() if isinstance(blocks, dict) else ():
            if isinstance(block, dict) and key in block:
                block.setdefault(naming, kind)


def drop_leftovers(value: Any, layers: Sequence[Any], part: dict[str, Any], schema: dict[str, Any]) -> None:
    """Take out of `value`, in place, what lower layers say of a kind that a higher one changed.

    `layers` are what each file says at that place, the lowest first, and `part` is the schema of it. What both kinds
    have stays.
    """
    layers = [layer for layer in layers if isinstance(layer, dict)]
    if not isinstance(value, dict) or not layers:
        return
    if "$ref" not in part and "discriminator" in part:
        key = part["discriminator"]["propertyName"]
        naming = [number for number, layer in enumerate(layers) if key in layer]
        if naming:
            value[key] = layers[naming[-1]][key]
            known = resolved(part, schema, value).get("properties", {})
            said = {name for layer in layers[naming[-1] :] for name in layer}
            for name in [name for name in value if name not in known and name not in said]:
                del value[name]
    part = resolved(part, schema, value)
    known, extra = part.get("properties", {}), part.get("additionalProperties")
    for name, each in value.items():
        below = known.get(name, extra)
        if isinstance(below, dict):
            drop_leftovers(each, [layer.get(name) for layer in layers], below, schema)
