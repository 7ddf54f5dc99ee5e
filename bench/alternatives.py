"""The table of docs/recipes.md that puts alternatives side by side, from the results of a study that has them.

snakemake --cores 8 --configfile studies/alternatives.yaml
python -m bench.alternatives results/alternatives
"""

import argparse
from pathlib import Path

from backfire.evaluation.families import ALTERNATIVES
from backfire.formats.tables import read_rows
from bench.saturation import cell


def main() -> None:
    """Print the table of a finished study: a row for each system, alternatives in italics, by its mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--measure", default="RR@10")
    asked = parser.parse_args()
    compared = [
        row
        for row in read_rows(asked.results / "comparison.parquet", "comparison").to_pylist()
        if row["measure"] == asked.measure and row["reference"] == "base" and row["family"]
    ]
    found = {(row["variant"], row["collection"], row["split"]): row for row in compared}
    places = list(dict.fromkeys((row["collection"], row["split"]) for row in compared))
    instead = {row["variant"] for row in compared if row["family"] == ALTERNATIVES}
    systems = read_rows(asked.results / "recommendation.parquet", "recommendation").to_pylist()
    print(f"| system | {' | '.join('/'.join(place) for place in places)} | to set up | standing |")
    print("|---|" + "---|" * (len(places) + 2))
    for row in sorted(systems, key=lambda row: -row["delta"]):
        name = row["variant"]
        if name == "base":
            continue
        cells = " | ".join(cell(found[name, *place]) for place in places)
        standing = row["reason"] if row["standing"] == "other" else row["standing"]
        print(f"| {f'*{name}*' if name in instead else name} | {cells} | {row['setup_time']:.0f} s | {standing} |")


if __name__ == "__main__":
    main()
