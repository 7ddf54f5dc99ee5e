"""What all rules share: the checked study, fingerprints of code, and wildcards filled in."""

import os
import sys
from pathlib import Path

import yaml

ROOT = Path(str(workflow.current_basedir)).parent.parent
# The workflow runs its own library, installed or not, here and in every job that it starts; jobs end with this process.
LIBRARY = str(ROOT / "workflow/lib")
sys.path.insert(0, LIBRARY)
os.environ.update(BACKFIRE_ENGINE=str(os.getpid()), PYTHONPATH=f"{LIBRARY}:{os.getenv('PYTHONPATH', '')}".rstrip(":"))
# In the environments that conda makes, pip keeps to the lock also with packages that envs/ does not name.
os.environ.setdefault("PIP_CONSTRAINT", (ROOT / "requirements.lock").as_uri())

from backfire.preflight.before import check_study
from backfire.preflight.files import check_files, read_given, read_layer
from backfire.errors import BackfireError
from backfire.jobs.faults import of_signals
from backfire.encoders.folders import base_files
from backfire.planning.jobs import batch_name, list_jobs, planned
from backfire.planning.requests import Requests
from backfire.provenance.fingerprints import fingerprint, plain
from backfire.study.settings import checked_study, left_out
from backfire.study.parts import TRAIN
from backfire.evaluation.verdict import words


def _study():
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # The parser in C takes a tenth of the time.
    schema = yaml.load((ROOT / "workflow/schemas/config.yaml").read_text(encoding="utf-8"), loader)
    *above, own = workflow.configfiles  # The lowest, the Snakefile's own, is the last.
    layers = [*map(read_layer, (own, *above)), read_given(workflow.config_settings.config, config)]
    try:
        if workflow.is_main_process:
            check_files(workflow.configfiles)
        return checked_study(config, schema, layers)
    except BackfireError as error:
        raise WorkflowError(str(error)) from None


def check_before(thoroughly: bool):
    """Stop where the study cannot be run as it says, as far as that can be known before any job; tell what is cut."""
    rules = {job.rule.name for job in workflow.dag.needrun_jobs()} if thoroughly else ()  # There once the run starts.
    try:
        lines = check_study(STUDY, thoroughly, rules)
    except BackfireError as error:
        raise WorkflowError(str(error)) from None
    for line in [] if thoroughly else [*left_out(config), *lines]:
        logger.warning(line)


STUDY = _study()
# For the captions of Snakemake's own report, which see this and no module.
config["words"] = words(STUDY.config["comparison"], STUDY.primary[2])
if workflow.is_main_process:
    check_before(thoroughly=False)


include: "machine.smk"


REQUESTS = Requests(STUDY, GPU > 0, THREADS)


def asked(rule: str, what: str):
    """Memory (mem_mb) or time (runtime) that a job of the rule asks for; a retry asks for more."""
    return lambda w, attempt: getattr(REQUESTS.of(rule, w, attempt), what)


def code(rule: str, path: str = "workflow/scripts/{}.py") -> str:
    """Fingerprint of a rule's script (or of another file) and of the library modules it imports, and versions of the packages these import."""
    return fingerprint(ROOT / path.format(rule), ROOT / "workflow/lib", ".snakemake/backfire-code.json")


def per_run(patterns, runs=STUDY.runs):
    """Fill in {variant} and {seed} for the given runs, or for all that are evaluated."""
    if not runs:
        return []
    variants, seeds = zip(*runs)
    return expand(patterns, zip, variant=variants, seed=seeds, allow_missing=True)


def per_split(patterns):
    """Fill in {collection} and {split} for every query set that is evaluated."""
    collections, splits = zip(*STUDY.evaluations)
    return expand(patterns, zip, collection=collections, split=splits, allow_missing=True)


def per_shard(patterns, collection=STUDY.train_on):
    """Fill in {shard} and {shards} for a collection, by default the one that is trained on, and {collection}."""
    shards = STUDY.shards_of(collection)
    return expand(patterns, shard=range(1, shards + 1), shards=shards, collection=collection, allow_missing=True)


def part_of(patterns):
    """An input function that gives the files of the shards that the part in the wildcards searches."""
    files = per_shard(patterns)
    return lambda w: expand([files[shard - 1] for shard in STUDY.part_shards(int(w.part))], **w)


def shards_of(patterns):
    """An input function that gives the files of every shard of the collection in the wildcards, of the variant that encodes them."""
    return lambda w: expand(per_shard(patterns, w.collection), **STUDY.of_passages(w))


wildcard_constraints:
    study=STUDY.name,
    collection="|".join(STUDY.collections),
    split="|".join(sorted({TRAIN, *(split for each in STUDY.collections.values() for split in each.splits)})),
    variant="|".join(STUDY.variants),
    seed=r"\d+",
    shard=r"\d+",
    shards="1" if STUDY.batches else "|".join(sorted({str(STUDY.shards_of(name)) for name in STUDY.collections})),
    triples="|".join(STUDY.triples) or "none",
    depth=r"\d+",
    text="default|published|untitled",
    max_length=r"\d+",
