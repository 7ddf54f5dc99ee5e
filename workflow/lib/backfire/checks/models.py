"""Checks of what is said of each model: its training, its weights, its space, its cost."""

from collections.abc import Iterator

import numpy as np

from backfire.explaining.cost import Latency
from backfire.explaining.statistics import STATISTICS
from backfire.formats.atomic import read_json
from backfire.report.words import COST
from backfire.study.variants import BASE

# What only trained models, and what only models with an adapter have.
TRAINING = ("training_time", "training_peak_memory", "trainable_parameters")
# What a job has where it computed on a GPU, and others of the same study need not have done so.
ON_GPU = ("training_peak_gpu_memory", "encoding_peak_gpu_memory")
# What a model of queries alone has not.
ENCODING = ("encoding_rate", "encoding_peak_memory")
RERANKING, SEARCHING = "reranking_time", "search_time"
# A mean cosine of passages above it: they are all at one place.
COLLAPSED = 1 - 1e-6


def check_curves(found) -> Iterator[str]:
    """Every training has all its steps, watched at both ends, and moved its weights."""
    for (variant, seed), curve in found.dynamics.items():
        name, steps = f"{variant} seed {seed}", curve[curve["step"] > 0]
        if not len(steps) or list(curve["step"]) != list(range(len(curve))):
            yield f"{name}: steps are missing"
            continue
        margin = found.study.variants[variant].objective.margin
        columns = ("loss", "learning_rate", "grad_norm", "weight_drift")
        for column in (*columns, *(["active_triplets"] if margin else [])):
            if steps[column].isna().any():
                yield f"{name}: a step has no {column}"
        if not steps["active_triplets"].dropna().between(0, 1).all():
            yield f"{name}: a share of active triplets is not between 0 and 1"
        watched = [column for column in curve.columns if column.startswith("dev_")]
        if not watched or curve[watched].iloc[[0, -1]].isna().any(axis=None):
            yield f"{name}: the watched measures are missing at its start or end"
        if not curve["weight_drift"].iloc[-1] > 0 and not _nothing_to_learn(curve):
            yield f"{name}: its weights never moved"


def check_layers(found) -> Iterator[str]:
    """The layers of every look are told, and their gradients add up to the whole one."""
    for (variant, seed), table in found.layers.items():
        curve = found.dynamics[variant, seed].set_index("step")
        watched = next(column for column in curve.columns if column.startswith("dev_"))
        looks = set(curve.index[curve[watched].notna() & (curve.index > 0)])
        squares = (table["grad_norm"] ** 2).groupby(table["step"]).sum()
        if set(squares.index) != looks:
            yield f"{variant} seed {seed}: layers are not told for each look"
        elif len(looks) and not np.allclose(squares**0.5, curve["grad_norm"][squares.index], rtol=1e-3):
            yield f"{variant} seed {seed}: gradients of layers do not add up"


def check_kept(found) -> Iterator[str]:
    """The weights that were kept are those of the last step, or of the best look at held-out examples."""
    for (variant, seed), curve in found.dynamics.items():
        trained, notes = found.study.variants[variant], found.models[variant, seed] / "training.json"
        best = int(curve["step"].iloc[-1])
        if trained.keeps_best:
            measure = trained.settings["held_out"]["measure"]
            looks = curve[curve["step"] > 0].set_index("step")[f"held_out_{measure}"].dropna()
            best = int(looks.idxmin() if measure == "loss" else looks.idxmax())
        step = read_json(notes)["kept"]["step"] if notes.is_file() else None
        if step != best:
            of = "an unknown step" if step is None else f"step {step}"
            yield f"{variant} seed {seed}: kept are the weights of {of}, and not of step {best}"


def _nothing_to_learn(curve) -> bool:
    """Whether every example was satisfied at every step, so that none had a gradient."""
    return bool((curve["loss"][curve["step"] > 0] == 0).all())


def check_weights(found) -> Iterator[str]:
    """Every trained model is another one than that it started from, by the digest of its weights."""
    for variant, seed in found.study.trained_runs:
        if _nothing_to_learn(found.dynamics[variant, seed]):
            continue
        start = found.study.parent(variant, seed)
        if _digests(found.models[variant, seed]) & _digests(found.models[start]):
            yield f"{variant} seed {seed}: its weights are those of {start[0]}, which it started from"


def check_geometry(found) -> Iterator[str]:
    """Every model has every quantity on every collection, unless its space has no spread to speak of."""
    table = found.tables["geometry"].set_index(["variant", "seed", "collection", "quantity"])["value"]
    for run in found.study.embedded_runs:
        for collection in found.study.looked_at:
            collapsed = table.get((*run, collection, "mean_cosine"), 0) > COLLAPSED
            foreign = found.study.space(run[0]) != BASE
            for quantity, statistic in STATISTICS.items():
                key = (*run, collection, quantity)
                if statistic.against_base and run[0] == BASE:
                    continue
                # The cosine between two spaces of other dimensions is none.
                undefined = collapsed or (quantity == "base_cosine" and foreign)
                # Of very few passages there is no slope, and all may be relevant.
                few = table.get((*run, collection, "sampled_passages"), 0)
                undefined |= quantity == "spectral_slope" and few < 4
                undefined |= quantity.startswith("participation_ratio_change") and few < 60
                undefined |= quantity == "hardest_margin" and few <= table[(*run, collection, "judged_pairs")]
                if key not in table.index or (table.isna()[key] and not undefined):
                    yield f"{run[0]} seed {run[1]} has no {quantity} on {collection}"


def check_cost(found) -> Iterator[str]:
    """Every model has every cost that it can have, and it is above 0."""
    table = found.tables["cost"].set_index(["variant", "seed", "quantity"])["value"]
    for run in found.study.costed_runs:
        variant = found.study.variants[run[0]]
        for quantity in COST:
            applies = variant.trained if quantity in TRAINING else variant.embedded
            applies = {RERANKING: run in found.study.reranking_runs, SEARCHING: variant.searches}.get(quantity, applies)
            applies = applies and quantity not in ON_GPU
            applies = applies and not (quantity in ENCODING and variant.queries_alone)
            # The number of parameters is that of the first seed.
            applies = applies and (quantity != "total_parameters" or run in found.study.first_embedded)
            if applies and not table.get((*run, quantity), 0) > 0:
                yield f"{run[0]} seed {run[1]} has no {quantity}"
    for run in found.study.first_embedded:
        for unmerged in (False, True) if found.study.variants[run[0]].adapted else (False,):
            for batch in found.study.config["latency"]["batches"]:
                quantity = Latency(50, batch, unmerged).quantity
                if not table.get((*run, quantity), 0) > 0:
                    yield f"{run[0]} seed {run[1]} has no {quantity}"


def check_maps(found) -> Iterator[str]:
    """The map of every variant places the same passages and queries."""
    table = found.tables["projection"]
    places = {name: set(zip(rows["kind"], rows["id"], strict=True)) for name, rows in table.groupby("variant")}
    for name in [name for name, each in found.study.own.items() if each.embedded]:
        if not places.get(name) or places[name] != places.get(BASE):
            yield f"{name} has no map, or one of other texts than base's"
    if table[["x", "y"]].isna().any(axis=None):
        yield "a text has no place"
    seeds = found.study.config["projection"]["seeds"]
    for name, rows in found.tables["maps"].groupby("variant"):
        # Of a space that has collapsed nothing can be told.
        if len(rows) != seeds or (rows[["drift", "noise"]].isna().any(axis=None) and not _collapsed(found)):
            yield f"what the maps of {name} are worth is not told for {seeds} seeds"


def _collapsed(found) -> bool:
    """Whether any model has put all passages at one place."""
    table = found.tables["geometry"]
    return bool((table.loc[table["quantity"] == "mean_cosine", "value"] > COLLAPSED).any())


def _digests(folder) -> set[str]:
    """Digests of the weights in a model folder, from the checksums that were written with it."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {line.split(maxsplit=1)[0] for line in lines if line.endswith(".safetensors") and "/" not in line}
