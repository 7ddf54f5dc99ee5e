"""The figures of the default study in the README, written from its tables and compared with them.

    python -m backfire.report.readme results/quickstart README.md            writes them
    python -m backfire.report.readme results/quickstart README.md --check    fails where they are others

Machines that compute alike give the same digits but for the last; other arithmetic (bf16 against fp32, or the bf16 of
another kind of processor) trains a little another model. So `--check` compares the text where training ran in the
arithmetic that the README names, each number within `LAST_PLACE`, verdicts and all; else numbers alone, within
`OTHER_ARITHMETIC`.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, replacing
from backfire.formats.tables import read_rows
from backfire.report.numbers import MINUS, plain, signed
from backfire.study.variants import BASE

BEGIN = "<!-- Written by python -m backfire.report.readme results/quickstart README.md -->\n"
END = "<!-- to here -->\n"
PRIMARY, HELD_OUT = ("pydocs", "test", "RR@10"), ("pydocs", "unseen", "RR@10")
# Two in the third decimal, since a last place may be rounded either way; and what a query in a hundred moves.
LAST_PLACE, OTHER_ARITHMETIC = 0.002, 0.01
_ARITHMETIC = re.compile(r"(?<=steps gave, in )(\w+)(?: on .*)?(?=,$)", re.MULTILINE)
_NUMBER = re.compile(rf"(?<![\w@])[{MINUS}+]?\d+(?:,\d{{3}})*(?:\.\d+)?")


def main(arguments: Sequence[str]) -> None:
    """Write or check the figures; arguments as the module says."""
    results, readme, *check = arguments
    text = Path(readme).read_text(encoding="utf-8")
    wanted = figures(results)
    if check:
        compare(section(text, readme), wanted)
    else:
        with replacing(readme) as temporary:
            whole = BEGIN + section(text, readme) + END
            temporary.write_text(text.replace(whole, BEGIN + wanted + END), encoding="utf-8")


def section(text: str, name: str) -> str:
    """What stands between the marks of a README; `BackfireError` where they are not there once each."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BackfireError(f"{name}: the marks of the figures are not there once each.", f"keep the line {BEGIN}")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def figures(results: str | Path) -> str:
    """The table of the default study in `results`, with the sentence that says what it was made of."""
    results = Path(results)
    rows = read_rows(results / "comparison.parquet", "comparison").to_pylist()
    test, held = (
        {row["variant"]: row for row in rows if _place(row) == place and row["reference"] == BASE}
        for place in (PRIMARY, HELD_OUT)
    )
    trained = [name for name in test if name != BASE]
    curves = [read_rows(path, "dynamics", ["step"]) for path in sorted(results.glob("dynamics/*/seed-*[0-9].parquet"))]
    tables = [read_rows(path, "triples", ["example"]) for path in results.glob("triples/*/*.parquet")]
    triples = {len(table["example"].unique()) for table in tables}
    arithmetic = {read_json(results / f"models/{name}/seed-0/training.json")["arithmetic"] for name in trained}
    machine = read_json(results / "arithmetic.json")
    amx = ", AMX" if "amx_bf16" in machine["extensions"] else ""
    lines = [
        f"{_one(triples)} triples and {_one({max(curve['step'].to_pylist()) for curve in curves})} steps gave, in "
        f"{_one(arithmetic)} on {machine['processor']}{amx},\n\n",
        "| variant | RR@10, test | difference from base | 95 % interval | verdict | RR@10, held-out packages "
        "| difference | what is known |\n",
        "|---|---|---|---|---|---|---|---|\n",
        f"| {BASE} | {plain(test[BASE]['mean'], 3)} | | | | {plain(held[BASE]['mean'], 3)} | | |\n",
    ]
    for name in trained:
        here, there = test[name], held[name]
        lines.append(
            f"| {name} | {plain(here['mean'], 3)} | {signed(here['delta'], 3)} | {signed(here['ci_low'], 3)} to "
            f"{signed(here['ci_high'], 3)} | {here['verdict']} | {plain(there['mean'], 3)} | "
            f"{signed(there['delta'], 3)} | {there['retention']} |\n"
        )
    queries = f"{test[BASE]['queries']} and {held[BASE]['queries']} queries"
    return "".join([*lines, f"\n({'one seed' if here['seeds'] == 1 else 'seeds'}, {queries}).\n"])


def compare(found: str, wanted: str) -> None:
    """Raise `BackfireError` where the figures of a README are not those of the tables, as the module says."""
    (here, there) = (_ARITHMETIC.search(text) for text in (found, wanted))
    # In fp32 all processors agree to the last place.
    alike = bool(here and there) and (here[0] == there[0] or here[1] == there[1] == "fp32")
    near = LAST_PLACE if alike else OTHER_ARITHMETIC
    words = [_NUMBER.sub("#", _ARITHMETIC.sub("", text)) for text in (found, wanted)]
    numbers = [[_value(n) for n in _NUMBER.findall(_ARITHMETIC.sub("", text))] for text in (found, wanted)]
    same = len(numbers[0]) == len(numbers[1]) and (not alike or words[0] == words[1])
    if not same or any(abs(one - other) > near for one, other in zip(*numbers, strict=True)):
        raise BackfireError(
            f"the figures of the README are not those of the study.\n\nREADME:\n{found}\nThe study:\n{wanted}",
            "python -m backfire.report.readme results/quickstart README.md writes them; say in the commit why they "
            "changed.",
        )


def _value(number: str) -> float:
    return float(number.replace(MINUS, "-").replace(",", ""))


def _place(row: dict) -> tuple[str, str, str]:
    return row["collection"], row["split"], row["measure"]


def _one(values: set):
    """The only one of `values`."""
    if len(values) != 1:
        raise BackfireError(f"the variants differ: {sorted(values)}.", "the README tells of variants that are alike.")
    return next(iter(values))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BackfireError as error:
        sys.exit(str(error))
