"""Checks a configuration against its schema and fills in defaults.

`snakemake.utils.validate` reports one error with the whole subschema dumped; here every error is one line that
names the key, what was found and what was expected.
"""

import copy
import math
import re
from collections.abc import Iterable
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from backfire.errors import BackfireError, nearest
from backfire.study.alternatives import offer
from backfire.study.kinds import OTHERS, resolved
from backfire.study.layers import drop_leftovers, name_kinds
from backfire.study.study import Study

# Keys that a library has for the block and Backfire does not, with the reason.
_REFUSED = "x-refused"


def checked(config: dict[str, Any], schema: dict[str, Any], layers: Iterable[Any] = ()) -> dict[str, Any]:
    """A copy of `config` that fits `schema`, with defaults filled in at every depth.

    `layers` are the files that it was merged from, the lowest first (see `study.layers`).

    An entry of an open block (collections and their splits, triples, variants, selections) that is null is removed, so
    that an overlay can drop what the file beneath defines. A whole number that was written with a decimal point
    (`1.0e+3`) is an integer where the schema has one. Raises `BackfireError` that lists every error, a line each.
    """
    config = copy.deepcopy(config)
    _check_plain(config)
    layers = [copy.deepcopy(layer) for layer in layers if isinstance(layer, dict)]
    for each in (config, *layers):
        name_kinds(each)
    drop_leftovers(config, layers, schema, schema)
    _take_after(config)
    collections = config.get("collections")
    for block in collections.values() if isinstance(collections, dict) else ():
        if isinstance(block, dict):
            block.setdefault("kind", "source")
    # A variant that is like another one may have its kind from there.
    drop_leftovers(config, layers, schema, schema)
    for block in ("collections", "triples", "variants", "selections"):
        _drop_nulls(config, block)
    offer(config)
    for collection in (config.get("collections") or {}).values():
        _drop_nulls(collection, "splits")
        _drop_nulls(collection, "of")
    _drop_nulls(config.get("ladder"), "factors")
    _fill(config, schema, schema)
    fitting = _concrete(schema, config, schema)
    config = _whole(config, fitting, schema)
    errors = _errors(config, fitting)
    if errors:
        lines, hints = zip(*(_explain(error, schema) for error in errors), strict=True)
        raise BackfireError(
            "The configuration has errors:\n" + "\n".join(f"  {line}" for line in lines),
            " ".join(dict.fromkeys(hint for hint in hints if hint))
            or "every key is described in workflow/schemas/config.yaml.",
        )
    return config


def checked_study(config: dict[str, Any], schema: dict[str, Any], layers: Iterable[Any] = ()) -> Study:
    """The study of a configuration as `checked` gives it; the variants that a ladder makes must fit the schema too."""
    study = Study(checked(config, schema, layers))
    made = {f"variants.{name}": block for name, block in (study.ladder.made if study.ladder else {}).items()}
    part = {"type": "object", "additionalProperties": schema["properties"]["variants"]["additionalProperties"]}
    fitting = _concrete(part, made, schema)
    errors = _errors(made, fitting)
    if errors:
        lines = "\n".join(f"  {_explain(error, schema)[0]}" for error in errors)
        raise BackfireError(
            f"The ladder makes variants that cannot be:\n{lines}",
            "put settings that only go together into one factor, as {adapters: [method, lora]}.",
        )
    return study


def left_out(config: dict[str, Any]) -> list[str]:
    """A line for each variant that goes with one that an overlay removed, because it is `like` that one."""
    config = copy.deepcopy(config)
    before = {name for name, block in (config.get("variants") or {}).items() if block is not None}
    _take_after(config)
    gone = sorted(name for name in before if config["variants"][name] is None)
    return [f"variants.{name} is left out with the variant that it is like, which is removed." for name in gone]


def _take_after(config: dict[str, Any]) -> None:
    """Give each variant that is `like` another one that one's settings beneath its own; it is removed with it."""
    variants = config.get("variants")
    if not isinstance(variants, dict):
        return

    def whole(name: str, path: tuple[str, ...] = ()) -> Any:
        block = variants[name]
        if not isinstance(block, dict) or not isinstance(block.get("like"), str):
            return block
        like, where = block["like"], f"variants.{_shown(name)}.like"
        if like not in variants:
            raise BackfireError(
                f"{where}: '{_shown(like)}' is not a variant of this study.", nearest(like, variants.keys() - {name})
            )
        if like in (name, *path):
            raise BackfireError(
                f"{where}: {' is like '.join((*path, name, like))}, which comes back to itself.",
                "let one of them name its own settings.",
            )
        under = whole(like, (*path, name))
        own = {key: value for key, value in block.items() if key != "like"}
        return under | own if isinstance(under, dict) else under

    config["variants"] = {name: whole(name) for name in variants}


def _drop_nulls(parent: Any, block: str) -> None:
    if isinstance(parent, dict) and isinstance(parent.get(block), dict):
        parent[block] = {name: entry for name, entry in parent[block].items() if entry is not None}


def _errors(value: Any, fitting: dict[str, Any]) -> list[ValidationError]:
    """What does not fit a schema, by the place where it stands."""
    return sorted(Draft202012Validator(fitting).iter_errors(value), key=lambda error: list(map(str, error.path)))


def _concrete(part: dict[str, Any], value: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of one value: like `part`, with the kind that each block within it names."""
    part = resolved(part, schema, value)
    if isinstance(value, list) and "items" in part:
        return part | {"prefixItems": [_concrete(part["items"], each, schema) for each in value]}
    if not isinstance(value, dict):
        return part
    known, extra = part.get("properties", {}), part.get("additionalProperties")
    parts = {name: _concrete(sub, value.get(name), schema) for name, sub in known.items()}
    if isinstance(extra, dict):
        parts |= {name: _concrete(extra, each, schema) for name, each in value.items() if name not in known}
    return part | {"properties": parts} if parts else part


def _fill(value: Any, part: dict[str, Any], schema: dict[str, Any]) -> None:
    """Insert the defaults of `part` into `value`, in place, at every depth."""
    if isinstance(value, list) and "items" in part:
        for each in value:
            _fill(each, resolved(part["items"], schema, each), schema)
    if not isinstance(value, dict):
        return
    known, extra = part.get("properties", {}), part.get("additionalProperties")
    for key, sub in known.items():
        if key not in value and "default" in (given := resolved(sub, schema, None)):
            value[key] = copy.deepcopy(given["default"])
        if key in value:
            _fill(value[key], resolved(sub, schema, value[key]), schema)
    if isinstance(extra, dict):
        for key in value.keys() - known.keys():
            _fill(value[key], resolved(extra, schema, value[key]), schema)


def _whole(value: Any, part: dict[str, Any], schema: dict[str, Any]) -> Any:
    """`value` with integers in place of floats without a fraction, wherever `part` takes integers and no floats.

    JSON Schema calls 2.0 an integer, and Python does not cut a corpus into 2.0 shards.
    """
    part = resolved(part, schema, value)
    for branch in (*part.get("anyOf", []), *part.get("oneOf", []), *part.get("allOf", [])):
        value = _whole(value, branch, schema)
    if isinstance(value, dict):
        known, extra = part.get("properties", {}), part.get("additionalProperties")
        extra = extra if isinstance(extra, dict) else {}
        return {key: _whole(each, known.get(key, extra), schema) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each, part.get("items", {}), schema) for each in value]
    types = part.get("type", [])
    types = [types] if isinstance(types, str) else types
    if isinstance(value, float) and value.is_integer() and "integer" in types and "number" not in types:
        return int(value)
    return value


def _check_plain(config: Any, where: str = "") -> None:
    """Raise `BackfireError` for what YAML can say and no key of a study can mean: keys that are no text, .nan, .inf."""
    if isinstance(config, dict):
        for key, value in config.items():
            if not isinstance(key, str):
                raise BackfireError(
                    f"{where or 'top level'}: found the key {key!r}, which YAML reads as {type(key).__name__}.",
                    "put the key in quotes; without them YAML 1.1 takes no, off and digits for values of other kinds.",
                )
            _check_plain(value, f"{where}.{_shown(key)}".lstrip("."))
    elif isinstance(config, list):
        for number, value in enumerate(config):
            _check_plain(value, f"{where}.{number}")
    elif isinstance(config, float) and not math.isfinite(config):
        raise BackfireError(f"{where}: found {config}, expected a number.", "write a finite number.")


def _explain(error: ValidationError, schema: dict[str, Any]) -> tuple[str, str]:
    """One line that says what is wrong where, and a hint (possibly empty)."""
    if error.validator == "anyOf":
        # The branch that has the right type says what is wrong.
        fitting = [each for each in error.context if each.validator != "type" or each.path]
        if fitting:
            return _explain(fitting[0], schema)
    where = ".".join(_shown(step) for step in error.absolute_path) or "top level"
    found = _short(ascii(error.instance) if not repr(error.instance).isprintable() else repr(error.instance))
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = sorted(map(str, error.instance.keys() - known.keys()))
        kind, named, others = error.schema.get(OTHERS, ("", "", {}))
        refused = error.schema.get(_REFUSED, {})
        line = "; ".join(
            f"{where}: unknown key '{key}' where {kind} is '{named}' (it goes with {' or '.join(others[key])}), "
            f"known: {', '.join(sorted(known))}."
            if key in others
            else f"{where}: '{key}' is not taken: {refused[key]}."
            if key in refused
            else f"{where}: unknown key '{_shown(key)}', {nearest(key, known)}"
            for key in unknown
        )
        return (
            line,
            "correct the spelling of the key or remove it; keys are described in workflow/schemas/config.yaml.",
        )
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{where}: missing key{'s' * (len(missing) > 1)} {', '.join(missing)}", "add what is missing."
    if error.validator == "type" and isinstance(error.instance, str) and _numeric(error.validator_value):
        hint = "remove the quotes."
        if re.fullmatch(r"[+-]?\d+[eE][+-]?\d+", error.instance):
            mantissa, exponent = re.split("[eE]", error.instance)
            pointed = f"{mantissa}.0e{exponent if exponent[0] in '+-' else '+' + exponent}"
            hint = f"YAML 1.1 reads {error.instance} as text; write {pointed} (with a decimal point)."
        return f"{where}: found the text {found}, expected a number", hint
    expected = {
        "type": lambda v: f"expected {' or '.join([v] if isinstance(v, str) else v)}",
        "anyOf": lambda v: f"expected {' or '.join(_types(v, schema))}",
        "enum": lambda v: f"expected one of {', '.join(map(str, v))}",
        "const": lambda v: f"expected {v}",
        "minimum": lambda v: f"expected at least {v}",
        "maximum": lambda v: f"expected at most {v}",
        "exclusiveMinimum": lambda v: f"expected more than {v}",
        "exclusiveMaximum": lambda v: f"expected less than {v}",
        "minItems": lambda v: f"expected at least {v} {'item' if v == 1 else 'items'}",
        "minProperties": lambda v: f"expected at least {v} {'entry' if v == 1 else 'entries'}",
        "minLength": lambda v: "expected some text",
        "contains": lambda v: f"expected {v.get('const')} among them",
        "uniqueItems": lambda v: "expected no item twice",
        "not": lambda v: "this name is reserved",
        "pattern": lambda v: (
            "expected a name of lower-case letters, digits, '-' and '_'"
            if v.startswith("^[a-z0-9][a-z0-9_-]")
            else "expected a name of at most 32 lower-case letters, digits and '_'"
            if v.startswith("^[a-z0-9][a-z0-9_]")
            else "expected 64 hexadecimal digits"
        ),
    }.get(error.validator, lambda v: error.message)(error.validator_value)
    hint = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    return f"{where}: found {found}, {expected}", f"{where.split('.')[-1]}: {hint}" if hint else ""


def _types(branches: list[dict[str, Any]], schema: dict[str, Any]) -> list[str]:
    """The types, or values, that some branches take."""
    branches = [resolved(branch, schema, None) for branch in branches]
    found = [branch.get("type", branch.get("const", branch.get("enum", "another form"))) for branch in branches]
    return list(dict.fromkeys(str(each) for some in found for each in (some if isinstance(some, list) else [some])))


def _shown(key: Any) -> str:
    """A key as part of a line: control characters escaped, and not too long."""
    return _short(str(key) if str(key).isprintable() else ascii(str(key))[1:-1])


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _numeric(types: str | list[str]) -> bool:
    return bool({"number", "integer"} & set([types] if isinstance(types, str) else types))
