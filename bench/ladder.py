"""The table of docs/recipes.md that says which part of a recipe did it, from the results of a study with a ladder.

snakemake --cores 8 --configfile studies/ladder.yaml
python -m bench.ladder results/ladder
"""

import argparse
from pathlib import Path

from backfire.formats.tables import read_rows
from bench.saturation import cell

SPLITS = ("test", "unseen")


def main() -> None:
    """Print the table of a finished study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    rows = read_rows(parser.parse_args().results / "ladder.parquet", "ladder").to_pylist()
    by_part = {(row["part"], row["name"], row["split"]): row for row in rows}
    names = [(row["part"], row["name"]) for row in rows if row["split"] == SPLITS[0] and row["part"] != "rung"]
    names.sort(key=lambda each: -abs(by_part[(*each, SPLITS[0])]["delta"]))
    print(f"| part | {' | '.join(SPLITS)} |")
    print("|---|---|---|")
    for part in ("total", "factor", "interaction"):
        for kind, name in names:
            if kind == part:
                shown = " and ".join(name.split(":")) + (", together" if part == "interaction" else "")
                cells = [cell(by_part[part, name, split]) for split in SPLITS]
                print(f"| {f'**{name}**' if part == 'total' else shown} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
