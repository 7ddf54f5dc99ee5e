"""Making a plan: counts, sizes, room, rates and durations, in that order, written as a page and as data."""

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from backfire.datasets.ids import check_needs
from backfire.encoders.base import prepare_base
from backfire.formats.atomic import read_json, replacing, write_json
from backfire.planning.downloads import files_to_fetch, home_stages, homes, packed_bytes, unpacked_there, wanted_from
from backfire.planning.facts import Expected, all_facts
from backfire.planning.hours import durations
from backfire.planning.jobs import Jobs, count_jobs
from backfire.planning.page import Plan, page
from backfire.planning.probe import measure
from backfire.planning.room import Demand, check_room, disk_usage, file_systems
from backfire.planning.sizes import Stage, stages
from backfire.provenance.fingerprints import plain, value_digest
from backfire.study.study import Study


def plan_study(
    config: dict[str, Any],
    downloads: dict[str, dict[str, Any]],
    jobs: list[list[Any]],
    base_sha256: str | None,
    gpus: int,
    text: str,
    data: str,
) -> None:
    """Print the plan of a study, write it to `text` and, when there is room for the study, as JSON to `data`.

    `config` is the configuration, `downloads` says what each collection takes from ir_datasets, `jobs` all jobs (see
    `jobs.Jobs`), `base_sha256` the digest that the base must have, None for the pinned one, and `gpus` the GPUs that
    jobs share. Paths of the study count from the working folder. Raises `BackfireError` for an id of another corpus,
    and when a file system has not enough room for what is still to be written.
    """
    study, root = Study(config), Path()
    for each in downloads.values():
        check_needs(each["corpus"], each["needs"])
    wanted = wanted_from(downloads)
    files = files_to_fetch(wanted)
    facts = all_facts(study.collections, root / "data", {name: packed_bytes(each) for name, each in wanted.items()})
    largest = max(facts.values(), key=lambda each: each.passages or 0)
    with tempfile.TemporaryDirectory() as scratch:
        model = f"{scratch}/base"
        prepare_base(config["base_model"], base_sha256, model)
        model_bytes = disk_usage(("base",), Path(scratch))
        rates = measure(
            model,
            largest.sample,
            math.ceil(largest.passage_tokens),
            study.config["encoding"],
            {
                name: study.variants[name].settings | {"texts": study.triples[study.variants[name].triples].texts}
                for name in study.trained
            },
            study.config["ranking"]["depth"],
            Path(text).parent,
        )
    expected, listed = Expected(study, facts), [Jobs(*each) for each in jobs]
    sizes = [*home_stages(wanted, facts, files), *stages(expected, listed, rates.dimensions, model_bytes)]
    plan = Plan(
        expected=expected,
        files=files,
        demands=[_demand(stage, root) for stage in sizes],
        systems=file_systems({"work": root, **homes()}),
        jobs=count_jobs(listed),
        rates=rates,
        durations=durations(expected, rates, listed, sizes),
        model_bytes=model_bytes,
        gpus=gpus,
    )
    written = page(plan)
    print("\n" + written, file=sys.stderr, flush=True)
    with replacing(text) as temporary:
        temporary.write_text(written, encoding="utf-8")
    check_room(plan.demands, plan.systems)
    write_json(data, as_data(plan) | {"settings": _settings(config, downloads, jobs)})


def plan_download(passed: str, data: str, **settings: Any) -> None:
    """Plan the study (see `plan_study`) unless `data` holds that very plan, and write what it downloads to `passed`.

    Collections that start together wait for one plan.
    """
    from filelock import FileLock

    Path(data).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{data}.lock"):
        digest = _settings(settings["config"], settings["downloads"], settings["jobs"])
        if not Path(data).is_file() or read_json(data).get("settings") != digest:
            plan_study(data=data, **settings)
    write_json(passed, read_json(data)["download"])


def _settings(*settings: Any) -> str:
    return value_digest(plain(list(settings)))


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
