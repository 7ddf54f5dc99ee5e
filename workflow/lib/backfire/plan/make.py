"""Making a plan: counts, sizes, room, rates and durations, in that order, written as a page and as data."""

import math
import sys
from pathlib import Path
from typing import Any

from backfire.formats.atomic import replacing, write_json
from backfire.plan.downloads import home_stages, homes, lacking, packed_bytes, unpacked_there, wanted_from
from backfire.plan.facts import collection_facts
from backfire.plan.hours import durations, passage_tokens
from backfire.plan.page import Plan, page
from backfire.plan.probe import measure
from backfire.plan.room import Demand, check_room, disk_usage, file_systems
from backfire.plan.sizes import Stage, stages
from backfire.resources import count_gpus
from backfire.study import Study


def plan_study(
    config: dict[str, Any],
    downloads: dict[str, dict[str, Any]],
    jobs: dict[str, int],
    model: str,
    text: str,
    data: str,
    passed: str,
) -> None:
    """Print the plan of a study and write it to `text` and, as JSON, to `data`; `passed` is the page once more.

    `config` is the configuration, `downloads` says what each collection takes from ir_datasets, `jobs` how many jobs
    each rule has, and `model` is the folder of the base. Paths of the study count from the working folder. Raises
    `BackfireError` when a file system has not enough room for what is still to be written; `passed` is written only
    when there is.
    """
    study, root = Study(config), Path()
    wanted = wanted_from(downloads)
    files = lacking(wanted)
    facts = {
        name: collection_facts(each, root / "data" / name, packed_bytes(wanted[name]))
        for name, each in study.collections.items()
    }
    largest = max(facts.values(), key=lambda each: each.passages or 0)
    rates = measure(
        model,
        largest.sample,
        math.ceil(passage_tokens(largest)),
        study.config["encoding"],
        {name: study.variants[name].settings for name in study.trained},
        study.config["ranking"]["depth"],
        Path(text).parent,
    )
    model_bytes = disk_usage((Path(model).name,), Path(model).parent)
    sizes = [*home_stages(wanted, facts, files), *stages(study, facts, rates.dimensions, model_bytes)]
    plan = Plan(
        study=study,
        facts=facts,
        files=files,
        demands=[_demand(stage, root) for stage in sizes],
        systems=file_systems({"work": root, **homes()}),
        jobs=jobs,
        rates=rates,
        durations=durations(study, facts, rates, sizes),
        model_bytes=model_bytes,
        gpus=count_gpus(),
    )
    written = page(plan)
    print("\n" + written, file=sys.stderr, flush=True)
    _write(text, written)
    write_json(data, as_data(plan))
    check_room(plan.demands, plan.systems)
    _write(passed, written)


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as plain data: bytes, counts and seconds."""
    return {
        "study": plan.study.name,
        "download": {"bytes": plan.download, "files": [vars(file) for file in plan.files]},
        "disk": [
            {
                "stage": demand.stage.name,
                "place": demand.stage.place,
                "bytes": demand.stage.bytes,
                "passing": demand.stage.passing,
                "there": demand.there,
                "passing_there": demand.passing_there,
                "more": demand.more,
            }
            for demand in plan.demands
        ],
        "file_systems": [{"places": system.places, "free": system.free} for system in plan.systems],
        "jobs": plan.jobs,
        "rates": plan.rates.as_dict(),
        "seconds": {each.stage: each.seconds for each in plan.durations},
        "collections": {
            name: {
                "passages": each.passages,
                "text_bytes": each.text_bytes,
                "queries": each.queries,
                "assumed": each.assumed,
            }
            for name, each in plan.facts.items()
        },
    }


def _demand(stage: Stage, root: Path) -> Demand:
    if stage.place == "ir_datasets":
        return Demand(stage, unpacked_there(stage.paths))
    return Demand(stage, disk_usage(stage.paths, root), disk_usage(stage.passing_paths, root))


def _write(path: str, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
