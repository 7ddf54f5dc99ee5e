"""Parts of the schema that come in kinds: one key says which, and each has keys of its own.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from typing import Any

# In the schema of a block that comes in kinds, once its kind is known: the key that names it, its name, and the kinds
# that each key of the others belongs to.
OTHERS = "x-other-kinds"


def resolved(part: dict[str, Any], schema: dict[str, Any], value: Any) -> dict[str, Any]:
    """A part of the schema with what it refers to, and with that of its kinds which `value` names.

    Where a block comes in kinds (`oneOf` beside a `discriminator`, as OpenAPI writes it), one key says which.
    """
    if "$ref" in part:
        own = {name: each for name, each in part.items() if name != "$ref"}
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]] | own
    if "discriminator" not in part:
        return part
    key = part["discriminator"]["propertyName"]
    kinds = {kind["properties"][key]["const"]: kind for kind in part["oneOf"]}
    common = {name: each for name, each in part.items() if name not in ("oneOf", "discriminator")}
    named = value.get(key) if isinstance(value, dict) else None
    if not isinstance(named, str) or named not in kinds:
        known = part.get("properties", {})
        return common | {"properties": known | {key: known.get(key, {}) | {"enum": list(kinds)}}}
    own = part.get("properties", {}) | kinds[named]["properties"]
    others = {
        name: sorted(kind for kind in kinds if name in kinds[kind]["properties"])
        for kind in kinds.values()
        for name in kind["properties"].keys() - own.keys()
    }
    return common | kinds[named] | {"properties": own, OTHERS: (key, named, others)}
