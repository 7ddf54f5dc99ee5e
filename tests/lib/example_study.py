"""Small tables of a study, made from seeds, for tests of what renders them; the numbers mean nothing."""

from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import yaml

from backfire.explaining.statistics import STATISTICS
from backfire.formats.atomic import write_json
from backfire.formats.tables import read_rows, write_rows
from backfire.recommending.costs import Cost
from backfire.recommending.make import weighed
from backfire.study.settings import checked

VARIANTS = ["base", "full_bm25", "full_hard", "lora_bm25", "lora_hard"]
TRAINED = VARIANTS[1:]
PRIMARY = ("pydocs", "test", "RR@10")
SPLITS = ["dev", "test", "unseen"]
MEASURES = ["RR@10", "nDCG@10", "R@100", "AP"]
VERDICTS = dict(zip(TRAINED, ["HELPS", "HARMS", "INCONCLUSIVE", "HARMS"], strict=True))
DELTAS = {"HELPS": 0.041, "HARMS": -0.083, "INCONCLUSIVE": 0.006, "EQUIVALENT": 0.0005}
HALVES = {"HELPS": 0.033, "HARMS": 0.066, "INCONCLUSIVE": 0.021, "EQUIVALENT": 0.003}


@dataclass
class Example:
    """Where the tables of the study lie; `variants` may be renamed to test odd names."""

    folder: Path
    verdicts: dict[str, str] = field(default_factory=lambda: dict(VERDICTS))
    overrides: dict[tuple[str, str], str] = field(default_factory=dict)
    """Verdicts of a (variant, split), where they differ from those of the primary split."""
    among: dict[tuple[str, str], str] = field(default_factory=dict)
    """Verdicts of (variant, reference) where variants that help are compared with one another."""
    seeds: int = 1
    extra_collection: str | None = "vaswani"
    text: str = "a passage"
    """What every text and id in the table `moved` holds."""

    @property
    def variants(self) -> list[str]:
        """All variants, base first."""
        return ["base", *self.verdicts]

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Every trained (variant, seed)."""
        return [(name, seed) for name in self.verdicts for seed in range(self.seeds)]

    def path(self, name: str) -> str:
        """A file of the study."""
        return str(self.folder / name)

    @property
    def models(self) -> list[tuple[str, int]]:
        """(variant, first seed) of every variant."""
        return [(name, 0) for name in self.variants]

    def verdict(self, variant: str, split: str) -> str:
        """The verdict that was set for a variant on a split."""
        return self.overrides.get((variant, split), self.verdicts[variant])

    def comparison(self) -> str:
        """Write the table `comparison`."""
        rng, rows = np.random.default_rng(0), []
        places = [("pydocs", split) for split in SPLITS]
        places += [(self.extra_collection, "test")] if self.extra_collection else []
        for collection, split in places:
            for number, measure in enumerate(MEASURES):
                where = {"collection": collection, "split": split, "measure": measure, "queries": 250}
                base = 0.55 + 0.08 * number
                none = {"delta": 0.0, "wins": 0, "ties": 250, "losses": 0, "reference": "base"}
                rows.append(
                    where
                    | none
                    | {"variant": "base", "seeds": 1, "mean": base, "reference_mean": base, "verdict": "BASE"}
                )
                for name in self.verdicts:
                    verdict = self.verdict(name, split)
                    delta = DELTAS[verdict] + (0.0004 if verdict == "EQUIVALENT" else 0.004) * rng.normal()
                    half, found = HALVES[verdict], verdict in ("HELPS", "HARMS")
                    wins, losses = (70, 40) if delta > 0 else (40, 70)
                    primary = (collection, split, measure) == PRIMARY
                    elsewhere = split == "unseen" or collection != "pydocs"
                    kept = {"HARMS": "forgets", "INCONCLUSIVE": "open"}.get(verdict, "keeps")
                    rows.append(
                        where
                        | {"variant": name, "reference": "base", "seeds": self.seeds}
                        | {"family": "claims" if primary else "explores", "retention": kept if elsewhere else None}
                        | {"mean": base + delta, "reference_mean": base, "relative": delta / base, "margin": 0.005}
                        | {"delta": delta, "ci_low": delta - half, "ci_high": delta + half, "verdict": verdict}
                        | {"p": 0.0004 if found else 0.2, "p_adjusted": 0.0016 if found else 0.31, "p_t": 0.2}
                        | {
                            "p_equivalence": 0.01 if verdict == "EQUIVALENT" else 0.4,
                            "p_holm": 0.4 if primary else None,
                        }
                        | {"p_equivalence_adjusted": 0.02 if verdict == "EQUIVALENT" else 0.5, "d_z": delta / 0.2}
                        | {"one_sided_low": delta - 0.8 * half, "one_sided_high": delta + 0.8 * half}
                        | {"fewest_queries": 598}
                        | {"wins": wins, "ties": 140, "losses": losses, "mde": 0.031, "queries_needed": 9000}
                        | {"seeds_needed": 5 if self.seeds > 1 else None}
                        | {"seed_share": 0.25 if self.seeds > 1 else None}
                    )
        rows += self.helpers(rows)
        write_rows(self.path("comparison.parquet"), "comparison", rows)
        return self.path("comparison.parquet")

    def helpers(self, rows: list[dict]) -> list[dict]:
        """Comparisons with one another of the variants that help at the primary place, by `among` or inconclusive."""
        helping = [row for row in rows if row.get("family") == "claims" and row["verdict"] == "HELPS"]
        helping.sort(key=lambda row: -row["mean"])
        found = []
        for better, other in combinations(helping, 2):
            verdict = self.among.get((better["variant"], other["variant"]), "INCONCLUSIVE")
            delta, half = better["mean"] - other["mean"] + (0.02 if verdict == "HELPS" else 0), 0.011
            pair = {"variant": better["variant"], "reference": other["variant"], "reference_mean": other["mean"]}
            bounds = {"ci_low": delta - half, "ci_high": delta + half, "one_sided_low": None, "one_sided_high": None}
            found.append(better | pair | bounds | {"family": "helpers", "verdict": verdict, "delta": delta})
        return found

    def recommendation(self, query_time: float | None = 50.0) -> str:
        """Write the table `recommendation`: all variants cost the same, base no training and no encoding."""
        rows = read_rows(self.path("comparison.parquet"), "comparison").to_pylist()
        trained = Cost(300.0, 2700, 340.0, 6.0, 4.0)
        costs = dict.fromkeys(self.verdicts, trained) | {"base": Cost(0.0, 0, 0.0, 6.0, 4.0)}
        write_rows(self.path("recommendation.parquet"), "recommendation", weighed(rows, PRIMARY, costs, query_time))
        return self.path("recommendation.parquet")

    def ties(self, reach: float = 0.0002) -> str:
        """Write the table `ties`; an order of equal scores moves AP of base and of the last variant by `reach`."""
        places = [("pydocs", split) for split in SPLITS]
        places += [(self.extra_collection, "test")] if self.extra_collection else []
        rows = []
        for name, seed in sorted([("base", 0), *self.runs]):
            for collection, split in places:
                for measure in sorted(MEASURES):
                    value = 0.55 + 0.08 * MEASURES.index(measure)
                    moved = reach if measure == "AP" and name in ("base", self.variants[-1]) else 0.0
                    rows.append(
                        {"variant": name, "seed": seed, "collection": collection, "split": split, "measure": measure}
                        | {"queries": 250, "tied_queries": 7 if moved else 0}
                        | {"worst": value - moved / 2, "value": value, "best": value + moved}
                    )
        write_rows(self.path("ties.parquet"), "ties", rows)
        return self.path("ties.parquet")

    def measures(self, queries: int = 250) -> str:
        """Write the primary measure in the table `measures`: reciprocal ranks, moved as the verdicts say."""
        rng = np.random.default_rng(3)
        where = dict(zip(("collection", "split", "measure"), PRIMARY, strict=True))
        ranks, rows = rng.geometric(0.4, queries), []
        for name, seed in [("base", 0), *self.runs]:
            step = {"HELPS": -1, "HARMS": 1}.get(self.verdicts.get(name), 0)
            moved = ranks if name == "base" else np.maximum(1, ranks + rng.integers(-1, 2, queries) + step)
            rows += [
                where | {"variant": name, "seed": seed, "query_id": f"q{number:03}", "value": float(value)}
                for number, value in enumerate(np.where(moved <= 10, 1 / moved, 0))
            ]
        write_rows(self.path("measures.parquet"), "measures", rows)
        return self.path("measures.parquet")

    def moved(self) -> str:
        """Write the table `moved`: a loss and a gain of each variant."""
        rows, text = [], self.text
        for name in self.verdicts:
            for direction, sign in (("loss", -1), ("gain", 1)):
                rows.append(
                    {"variant": name, "direction": direction, "place": 1, "query_id": f"q1 {text}", "query": text}
                    | {"base_value": 0.5, "variant_value": 0.5 + 0.25 * sign, "delta": 0.25 * sign, "base_rank": 2}
                    | {"variant_rank": 4 if sign < 0 else None, "answer_id": f"d1 {text}", "answer": text}
                    | {"passage_ids": [f"d2 {text}", "d3"], "passage_texts": [text, "another"]}
                    | {"passage_base_ranks": [3, None], "passage_variant_ranks": [1, 1234]}
                )
        write_rows(self.path("moved.parquet"), "moved", rows)
        return self.path("moved.parquet")

    def strata(self, dependent: str | None = None) -> str:
        """Write the table `strata`; the effect of the variant `dependent`, and no other, depends on query length."""
        labels = {
            "length": ["2-5 words", "6-9 words", "10-31 words"],
            "overlap": ["0-20 %", "25-50 %", "60-100 %"],
            "base_rank": ["rank 1", "ranks 2-10", "not found"],
        }
        rows = []
        for name in self.verdicts:
            for factor, strata in labels.items():
                tested = name == dependent and factor == "length"
                for place, label in enumerate(strata, 1):
                    delta = 0.05 - 0.06 * place if tested else 0.001 * place
                    rows.append(
                        {"variant": name, "factor": factor, "stratum": label, "place": place, "queries": 80 + place}
                        | {"low": float(place), "high": float(place), "delta": delta, "p": 0.001 if tested else 0.4}
                        | {"ci_low": delta - 0.02, "ci_high": delta + 0.02, "rho": -0.31 if tested else 0.02}
                        | {"p_adjusted": 0.012 if tested else 0.61}
                    )
        write_rows(self.path("strata.parquet"), "strata", rows)
        return self.path("strata.parquet")

    def dynamics(self, steps: int = 120, margin: bool = True) -> list[str]:
        """Write a table `dynamics` for each trained run, of an objective with a margin or without."""
        paths = []
        for number, (name, _) in enumerate(self.runs):
            rng = np.random.default_rng(number)
            dev = 0.62
            rows = [{"step": 0, "weight_drift": 0.0, "dev_RR@10": dev}]
            for step in range(1, steps + 1):
                done = step / steps
                rows.append(
                    {
                        "step": step,
                        "loss": float(0.18 * np.exp(-3 * done) + 0.02 + 0.02 * rng.random()),
                        "learning_rate": 2e-5 * min(10 * done, (1 - done) / 0.9),
                        "grad_norm": float(1.5 + rng.random()),
                        "active_triplets": float(np.clip(0.9 * np.exp(-2 * done) + 0.1 * rng.random(), 0, 1))
                        if margin
                        else None,
                        "weight_drift": 0.01 * done**0.5 * (1 + number / 4),
                    }
                )
                if step % 12 == 0:
                    dev += DELTAS[self.verdicts[name]] / 10 + 0.003 * rng.normal()
                    rows[-1]["dev_RR@10"] = dev
            if self.runs[number] == ("full_hard", 0) and steps > 36:
                rows[36] |= {"harm": 3.0, "harm_boundary": 2.5}
            paths.append(self.path(f"dynamics-{number}.parquet"))
            write_rows(paths[-1], "dynamics", rows)
        return paths

    def layers(self) -> list[str]:
        """Write a table `layers` for each trained run: two looks at the embeddings and three layers."""
        paths = []
        for number, _ in enumerate(self.runs):
            rows = [
                {"step": step, "layer": layer, "place": place, "drift": 1e-4 * (place + 1) * (number + 1) * step}
                | {"grad_norm": 1.0 + (place == 2), "update_ratio": 1e-4 * (number + 1)}
                for step in (60, 120)
                for place, layer in enumerate(("embeddings", "layer 0", "layer 1", "layer 2"))
            ]
            paths.append(self.path(f"layers-{number}.parquet"))
            write_rows(paths[-1], "layers", rows)
        return paths

    def projection(self) -> str:
        """Write the table `projection`."""
        rng = np.random.default_rng(1)
        centres = rng.uniform(0, 12, size=(9, 2))
        places = {
            "passage": centres[np.arange(200) % 9] + 0.7 * rng.normal(size=(200, 2)),
            "query": centres[np.arange(30) % 9] + 0.7 * rng.normal(size=(30, 2)),
        }
        rows = []
        for number, name in enumerate(self.variants):
            for kind, points in places.items():
                moved = points + 0.3 * number * rng.normal(size=points.shape)
                rows += [
                    {"variant": name, "seed": 0, "kind": kind, "id": f"{kind[0]}{i}", "x": float(x), "y": float(y)}
                    for i, (x, y) in enumerate(moved)
                ]
        write_rows(self.path("projection.parquet"), "projection", rows)
        return self.path("projection.parquet")

    def geometry(self) -> str:
        """Write the table `geometry`; the effective rank of the last variant is undefined."""
        collections = ["pydocs", *([self.extra_collection] if self.extra_collection else [])]
        rng, rows = np.random.default_rng(2), []
        for name, seed in [("base", 0), *self.runs]:
            for collection in collections:
                for quantity, statistic in STATISTICS.items():
                    if name == "base" and statistic.against_base:
                        continue
                    value = 2000.0 if statistic.unit == "count" else float(rng.uniform(0.1, 0.9))
                    if quantity == "effective_rank" and name == self.variants[-1]:
                        value = None
                    rows.append(
                        {"variant": name, "seed": seed, "collection": collection}
                        | {"quantity": quantity, "value": value, "unit": statistic.unit}
                    )
        write_rows(self.path("geometry.parquet"), "geometry", rows)
        return self.path("geometry.parquet")

    def cost(self) -> str:
        """Write the table `cost`; base has no training, LoRA variants a latency before merging."""
        rows = []
        for number, (name, seed) in enumerate([("base", 0), *self.runs]):
            values = {"total_parameters": (22713216.0, "count"), "encoding_rate": (81.3 - number, "passages/s")}
            values |= {"encoding_peak_memory": (1480.0 + number, "MiB"), "query_latency_p50": (6.2, "ms")}
            values |= {"query_latency_p90": (8.9 + number / 10, "ms"), "query_latency_p50_of_32": (61.0, "ms")}
            if name != "base":
                lora = name.startswith("lora")
                values["training_time"] = (96.4 + 11 * number, "s")
                values["training_peak_memory"] = (2210.5, "MiB")
                values["trainable_parameters"] = (147456.0 if lora else 22713216.0, "count")
                if lora:
                    values["query_latency_p50_unmerged"] = (9.4, "ms")
                    values["query_latency_p90_unmerged"] = (12.8, "ms")
                    values["query_latency_p50_of_32_unmerged"] = (73.2, "ms")
                    values["unmerged_difference"] = (2.1e-7, "1")
            rows += [
                {"variant": name, "seed": seed, "quantity": quantity, "value": value, "unit": unit}
                for quantity, (value, unit) in values.items()
            ]
        write_rows(self.path("cost.parquet"), "cost", rows)
        return self.path("cost.parquet")

    def replaced(self) -> str:
        """Write the table `replaced`: the second tuned variant loses to hubs more often than chance explains."""
        rows = []
        for number, name in enumerate(self.variants[1:]):
            for direction, counts in (("loss", (1, 20 * (number == 1), 5, 9)), ("gain", (0, 1, 6, 8))):
                rows += [
                    {"variant": name, "direction": direction, "kind": kind, "queries": queries, "named": sum(counts)}
                    | {
                        "moved": sum(counts) + 2,
                        "hubs": 3,
                        "p": 0.001,
                        "p_adjusted": 0.004 if kind == "hub" and number == 1 else 0.7,
                    }
                    for kind, queries in zip(("near duplicate", "hub", "fewer words", "other"), counts, strict=True)
                ]
        write_rows(self.path("replaced.parquet"), "replaced", rows)
        return self.path("replaced.parquet")

    def maps(self) -> str:
        """Write the table `maps`: of two seeds, where the first tuned variant drifts no further than noise."""
        rows = [
            {
                "variant": name,
                "seed": 0,
                "map_seed": seed,
                "trustworthiness": 0.93 + seed / 50,
                "drift": drift,
                "noise": 0.25,
            }
            for number, name in enumerate(self.variants)
            for seed, drift in enumerate((0.0, 0.0) if name == "base" else (0.3 + number, 0.3 + number))
        ]
        rows = (
            [row | {"drift": 0.31} if row["variant"] == self.variants[1] else row for row in rows]
            if len(self.variants) > 1
            else rows
        )
        write_rows(self.path("maps.parquet"), "maps", rows)
        return self.path("maps.parquet")

    def forensics(self) -> tuple[str, str] | None:
        """Write the tables `forensics` and `filter_curves` of the two sets that variants train on."""
        if not self.runs:
            return None
        facts, curves = [], []
        for number, name in enumerate(("bm25", "hard")):
            values = {
                "negatives": 600.0,
                "rank": 102.0,
                "score": 0.2661,
                "score_high": 0.3761,
                "positive_score": 0.5003,
            }
            shares = {"above_positive": 0.116, "near_duplicate": 0.0, "likely_answer": 0.139 + number / 10}
            rows = [{"fact": fact, "value": value} for fact, value in values.items()]
            rows += [
                {"fact": fact, "value": share, "ci_low": 0.9 * share, "ci_high": 1.1 * share + 0.01}
                for fact, share in shares.items()
            ]
            facts += [{"triples": name, "judge": "base"} | row for row in rows]
            curves += [
                {"triples": name, "judge": "base", "relative_margin": margin, "kept": 0.9 - margin, "score": 0.26}
                for margin in (0.0, 0.05, 0.2)
            ]
        write_rows(self.path("forensics.parquet"), "forensics", facts)
        write_rows(self.path("filter_curves.parquet"), "filter_curves", curves)
        return self.path("forensics.parquet"), self.path("filter_curves.parquet")

    def arithmetic(self) -> str:
        """Write what was settled: bf16 for encoding, fp32 for training, where it gained too little."""
        seconds = {"encode": {"fp32": 0.04, "bf16": 0.01}, "train": {"fp32": 0.2, "bf16": 0.19}}
        machine = {
            "device": "cpu",
            "processor": "A processor 7",
            "extensions": [],
            "threads": 2,
            "torch": "2.13.0",
            "margin": 1.15,
        }
        tasks = {
            task: {"precision": precision, "tokens": 512, "seconds": seconds[task]}
            for task, precision in (("encode", "bf16"), ("train", "fp32"))
        }
        tasks["encode"]["cosine"] = {"fp32": 1.0, "bf16": 0.99995}
        write_json(self.path("arithmetic.json"), machine | tasks)
        return self.path("arithmetic.json")

    def forecast(self) -> str:
        """Write what was seen before training: something that will go wrong, twice, and a limit."""
        findings = [
            {
                "check": "another metric",
                "about": f"variants.{name}.loss",
                "grade": "fault",
                "found": f"<b>found</b> of {name}",
                "why": "A reason.",
                "remedy": f"a remedy for {name}",
                "sure": "certain",
            }
            for name in list(self.verdicts)[:2]
        ]
        one = {"check": "one seed", "about": "seeds", "grade": "note", "found": "One.", "why": "So.", "remedy": "more"}
        write_json(self.path("forecast.json"), {"findings": [*findings, one | {"sure": "rule of thumb"}]})
        return self.path("forecast.json")

    def protocol(self) -> str:
        """Write the table `protocol`: a length that matters, a precision that nearly does not, and no ties."""
        deltas = {
            "max_length": {"128": None, "64": -0.0123},
            "precision": {"auto": None, "fp32": 0.0004},
            "identical ids": {"kept": None, "dropped": 0.0},
        }
        rows = []
        for factor, choices in deltas.items():
            for choice, delta in choices.items():
                for number, measure in enumerate(MEASURES):
                    half = 0.5 * abs(delta or 0) if factor == "max_length" else 2 * abs(delta or 0)
                    bounds = None if delta is None else (delta - half, delta + half)
                    rows.append(
                        {"collection": "pydocs", "split": "test", "factor": factor, "choice": choice}
                        | {"own": delta is None, "measure": measure, "queries": 250, "delta": delta or 0.0}
                        | {"mean": 0.55 + 0.08 * number + (delta or 0), "changed": round(3000 * abs(delta or 0))}
                        | dict(zip(("ci_low", "ci_high"), bounds or (None, None), strict=True))
                    )
        write_rows(self.path("protocol.parquet"), "protocol", rows)
        return self.path("protocol.parquet")

    def folders(self, **changes: dict) -> dict[tuple[str, int], str]:
        """A folder with a certificate for each model, and what a training notes; `changes` of the first by variant."""
        found = {}
        for run in [("base", 0), *self.runs]:
            notes = {"tokens": "fast", "forward": "bert", "why": "", "similarity": "cosine", "limit": 512}
            notes |= {"texts": 130, "difference": 2e-7, "files": "0", "versions": {}} | changes.get(run[0], {})
            found[run] = self.path("models/{}/seed-{}".format(*run))
            write_json(Path(found[run]) / "certificate.json", notes)
            if run in self.runs:
                kept = {"kept": {"step": 120, "steps": 120}, "held_out": None, "stopped": False}
                kept["alarm"] = {"step": 36, "change": -0.0312} if run == ("full_hard", 0) else None
                write_json(Path(found[run]) / "training.json", kept)
        return found

    def manifests(self) -> dict[str, str]:
        """Write a data manifest for each collection."""
        paths = {}
        for collection in ["pydocs", *([self.extra_collection] if self.extra_collection else [])]:
            paths[collection] = self.path(f"{collection}.json")
            corpus = {"read": 2431, "kept": 2400, "dropped": {"empty": 7, "duplicate": 24}, "digest": "ab" * 32}
            text = {"name": "default", "meaning": f"The text of {collection}."}
            splits = {
                split: {"source": f"{collection}/{split}", "queries": {"read": 250, "kept": 250}, "digest": "cd" * 32}
                for split in SPLITS
            }
            write_json(paths[collection], {"corpus": {"source": collection, "text": text, **corpus}, "splits": splits})
        return paths


def example_config(root: Path, verdicts: dict[str, str], seeds: int = 1, extra: str | None = "vaswani") -> dict:
    """A checked configuration of the study whose variants are named in `verdicts`, <method>_<negatives> each."""
    collections = {
        "pydocs": {"corpus": "pydocs", "train": "pydocs/train", "splits": {s: f"pydocs/{s}" for s in SPLITS}}
    }
    if extra:
        collections[extra] = {"corpus": extra, "splits": {"test": f"{extra}/test"}}
    variants: dict[str, dict] = {"base": {"method": "none"}}
    for name in verdicts:
        method, _, source = name.partition("_")
        variants[name] = {"method": method, "triples": source}
        if method == "lora":
            variants[name] |= {"lora": {"rank": 8}, "learning_rate": 2e-4}
    triples = {
        source: {"negatives": source, "size": 600, "negatives_per_query": 1, "filter": None}
        | ({} if source == "random" else {"depth": 200})
        for source in ("random", "bm25", "hard")
    }
    config = {
        "study": "example",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "seeds": list(range(seeds)),
        "collections": collections,
        "train_on": "pydocs",
        "primary": dict(zip(("collection", "split", "measure"), PRIMARY, strict=True)),
        "triples": triples,
        "variants": variants,
    }
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text(encoding="utf-8"))
    return checked(config, schema)
