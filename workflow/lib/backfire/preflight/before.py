"""What can be known of a study before its first job: all of it, so that nothing fails after hours for want of a look.

Loaded whenever the DAG is built, so it uses the standard library only, as long as nothing looks wrong.
"""

import re
from collections.abc import Collection
from pathlib import Path

from backfire.datasets.layout import RECORDS
from backfire.datasets.sources import is_hub, is_pairs
from backfire.encoders.folders import find_base, verify
from backfire.encoders.overrides import lacking_prompts
from backfire.errors import BackfireError
from backfire.preflight.model import ModelFiles, check_mixes, check_model
from backfire.preflight.objectives import check_objectives
from backfire.preflight.sizes import check_factory, check_sizes
from backfire.preflight.sources import check_different, check_sources
from backfire.study.judge import CROSS_ENCODER
from backfire.study.study import Study
from backfire.study.variants import Given, Reranked

# Their spelling needs no look at ir_measures, which takes 50 ms.
_COMMON = re.compile(r"(RR|nDCG|AP)(@[1-9]\d*)?|(P|R|Success)@[1-9]\d*")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def check_study(study: Study, thoroughly: bool = False, rules: Collection[str] = ()) -> list[str]:
    """Lines on what is cut to what there is. Raises `BackfireError` for what cannot be computed as it is asked for.

    A few milliseconds where nothing looks wrong, as for a dry run; `thoroughly` loads `ir_datasets` and FAISS, and
    reads each model's tokenizer and weights, whose digest may be named. `rules` are those that will run, where that is
    known.
    """
    try:
        _check_measures(study)
        check_sources(study, thoroughly)
        check_different(study)
        _check_given(study)
        _check_listed(study, thoroughly)
        lines = check_sizes(study, rules) + check_objectives(study)
        return _ladder_lines(study) + lines + _check_models(study, thoroughly)
    except BackfireError as error:
        raise (study.ladder.explained(error) if study.ladder else error) from None


def _ladder_lines(study: Study) -> list[str]:
    """How many variants a ladder makes, which no one has listed."""
    ladder = study.ladder
    if not ladder or not ladder.made:
        return []
    count = len(ladder.made)
    return [
        f"The ladder trains {count} {'variant' if count == 1 else 'variants'} between {ladder.start} and {ladder.end}, "
        f"{len(study.seeds)} {'seed' if len(study.seeds) == 1 else 'seeds'} each, and takes the mean over "
        f"{len(ladder.orders)} orders of its {len(ladder.factors)} factors."
    ]


def _check_given(study: Study) -> None:
    """Raise `BackfireError` for a run of another tool that is not there."""
    for name in study.named(Given):
        for place, path in study.variants[name].files.items():
            if not Path(path).is_file():
                raise BackfireError(
                    f"variants.{name}.runs.{'/'.join(place)}: there is no file '{path}'.",
                    "give the path of a TREC run, from the folder that you run in or in full.",
                )


def _check_listed(study: Study, thoroughly: bool) -> None:
    """Raise `BackfireError` for a file of triples that is not there, `thoroughly` for columns that cannot be told."""
    for name, file in study.listed.items():
        if is_hub(file):
            raise BackfireError(
                f"triples.{name}.file: found '{file}', a data set of the hub.",
                "to train on its texts make it a collection (corpus: its id) and train_on that; to take its triples "
                "for another one save it with datasets.load_dataset(...).save_to_disk('folder') and give that folder.",
            )
        if not is_pairs(file):
            raise BackfireError(
                f"triples.{name}.file: found '{file}'.",
                f"give the path of a file ({', '.join(RECORDS)}, all but .parquet also with .gz) that is there, "
                "or of a folder that datasets.save_to_disk wrote.",
            )
        if thoroughly:
            try:
                from backfire.datasets.rows import file_rows
            # An engine that leaves the libraries to the jobs' own environments.
            except ImportError:
                return
            next(file_rows(file, study.triples[name].reading["columns"], triples=True), None)


def _check_models(study: Study, thoroughly: bool) -> list[str]:
    """A line for each model on this machine that lacks the prompts of its family; errors as in `check_study`."""
    lines, models = [], {}
    for origin in study.taken_models:
        source = study.source_of(origin)
        name, where = source["name"], source["where"]
        folder = _folder(name, where)
        if folder is None:
            continue
        models[origin] = model = ModelFiles(folder)
        check_model(study, origin, model, thoroughly)
        if thoroughly:
            verify(folder, name, source["sha256"], where)
            if model.dimensions:
                distances = model.by_distance(source["changes"])
                check_factory(study.config["encoding"]["index"], model.dimensions, distances)
        if "prompts" not in source["changes"] and (said := lacking_prompts(name, folder)):
            lines.append(f"variants.{origin}: '{name}' names no prompts; models of its family want {said}.")
    check_mixes(study, models)
    return lines + _check_cross_encoders(study, thoroughly)


def _check_cross_encoders(study: Study, thoroughly: bool) -> list[str]:
    """A line for each cross-encoder that is asked for more passages than a run has; errors as in `check_study`."""
    lines, depth = [], study.config["ranking"]["depth"]
    sources = [study.variants[name].source for name in study.named(Reranked)]
    teachers = [study.triples[name] for name in study.taught_by]
    sources += [each.teacher_source for each in teachers if each.teacher["kind"] == CROSS_ENCODER]
    for source in sources:
        folder = _folder(source["name"], source["where"])
        if folder and (folder / "modules.json").is_file() and (folder / "1_Pooling").is_dir():
            raise BackfireError(
                f"{source['where']}: '{source['name']}' is a bi-encoder, which gives a vector for a text and no "
                "score for a pair.",
                "name a cross-encoder, as cross-encoder/ms-marco-MiniLM-L6-v2.",
            )
        if folder and thoroughly:
            verify(folder, source["name"], source["sha256"], source["where"])
    for name in study.named(Reranked):
        each = study.variants[name]
        if each.settings["depth"] > depth:
            lines.append(f"{each.where}.depth: {each.settings['depth']} is cut to ranking.depth, {depth}.")
    return lines


def _folder(name: str, where: str) -> Path | None:
    """The folder of a model on this machine; raises `BackfireError` where it is not and `name` is none of the hub."""
    folder = find_base(name, where)
    if folder is None and not _HUB_NAME.fullmatch(name):
        raise BackfireError(
            f"{where}: '{name}' is neither a folder nor a name on the hub.",
            "a name is that of a model, as all-MiniLM-L6-v2, or of an owner and a model with a slash between them.",
        )
    return folder


def _check_measures(study: Study) -> None:
    """Raise `BackfireError` for a measure that there is not, or that goes by another name."""
    config = study.config
    asked = [
        *config["measures"],
        *config["dynamics"]["measures"],
        *(each.measure for each in study.selections.values()),
    ]
    asked += [name for name in config["comparison"]["margins"] if name != "default"]
    for name in asked:
        if not _COMMON.fullmatch(name):
            try:
                from backfire.study.measure_names import measure_named

                measure_named(name)
            # An engine that leaves the libraries to the jobs' own environments.
            except ImportError:
                return
