"""The plan as a page of text, for a terminal 100 columns wide."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from backfire.datasets.downloads import Missing
from backfire.planning.facts import Expected, Facts
from backfire.planning.hours import OTHER, Duration, seconds_of
from backfire.planning.probe import Rates
from backfire.planning.room import Demand, FileSystem, size
from backfire.planning.sizes import index_bytes, run_bytes, vector_bytes
from backfire.study.study import Study
from backfire.study.variants import BASE

WIDTH = 100
# Processes for each processor beyond which rates say more about the moment than about the machine.
BUSY = 0.5
PLACES = {"work": "working folder", "ir_datasets": "IR_DATASETS_HOME", "tmp": "IR_DATASETS_TMP"}
OMITTED = "downloading, exporting tables, BM25 mining, statistics, figures and the report"


@dataclass(frozen=True)
class Plan:
    """Everything that a plan says."""

    expected: Expected
    files: list[Missing]
    demands: list[Demand]
    systems: list[FileSystem]
    jobs: dict[str, int]
    rates: Rates
    durations: list[Duration]
    model_bytes: int
    gpus: int

    @property
    def study(self) -> Study:
        """What is planned."""
        return self.expected.study

    @property
    def facts(self) -> dict[str, Facts]:
        """What is known of each collection."""
        return self.expected.facts

    def seconds_of(self, rule: str, **wildcards: str) -> float:
        """Seconds of a job of `rule` (see `hours.seconds_of`)."""
        return seconds_of(self.expected, self.rates, rule, **wildcards)

    @property
    def seconds(self) -> float:
        """All that was estimated, one job after another on each GPU."""
        return sum(each.seconds / (max(1, self.gpus) if each.on_gpu else 1) for each in self.durations)

    @property
    def download(self) -> int:
        """Bytes of the files to download whose size is known."""
        return sum(file.bytes or 0 for file in self.files)


def page(plan: Plan) -> str:
    """The whole plan as text, its totals first."""
    more = sum(demand.more for demand in plan.demands)
    head = f"Plan of the study {plan.study.name}"
    unknown = any(file.bytes is None for file in plan.files) or any(
        each.passages is None for each in plan.facts.values()
    )
    least = "at least " if unknown else ""
    summary = (
        f"{least}{size(plan.download)} to download, {least}{size(more)} of disk, {_count(_total(plan.jobs))} jobs, "
        f"{least or 'about '}{span(plan.seconds)} on this machine"
    )
    parts = [
        [head, "=" * len(head), summary],
        _collections(plan),
        _downloads(plan),
        _disk(plan),
        _jobs(plan),
        _time(plan),
        _changes(plan),
        _assumptions(plan),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def span(seconds: float) -> str:
    """A duration in words: 40 s, 12 min, 3.5 h, 80 h, 12 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    if hours < 72:
        return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"
    return f"{hours / 24:.1f} days" if hours < 240 else f"{hours / 24:.0f} days"


def columns(rows: Iterable[Sequence[str]], align: str, indent: int = 2) -> list[str]:
    """Rows of cells in columns; `align` has a `<` or `>` for each."""
    rows = list(rows)
    widths = [max(len(row[place]) for row in rows) for place in range(len(align))]
    return [
        (" " * indent + "  ".join(f"{cell:{way}{width}}" for cell, way, width in zip(row, align, widths, strict=True)))
        .rstrip()
        for row in rows
    ]  # fmt: skip


def _collections(plan: Plan) -> list[str]:
    study = plan.study
    rows = [("collection", "passages", "queries", "shards", "passages a shard")]
    for name, each in plan.facts.items():
        shards = study.shards_of(name)
        queries = sum(count or 0 for count in each.queries.values())
        rows.append(
            (
                name,
                _count(each.passages),
                _count(queries),
                _count(shards),
                _count((each.passages or 0) // shards or None),
            )
        )
    models = f"{len(study.runs)} models: {', '.join(study.variants)}"
    if len(study.seeds) > 1:
        models += f", {len(study.seeds)} seeds each"
    return [*columns(rows, "<>>>>", indent=0), *wrap(models, WIDTH)]


def _downloads(plan: Plan) -> list[str]:
    if not plan.files:
        return ["Download", "  nothing: everything is on this machine"]
    lines = [f"Download: {size(plan.download)} in {len(plan.files)} files"]
    for file in sorted(plan.files, key=lambda file: -(file.bytes or 0)):
        amount = size(file.bytes) if file.bytes else "unknown"
        where = file.url or f"not for download; put it at {file.path}"
        lines.append(f"{amount:>10} {'*' if file.temporary else ' '} {where}")
    return [*lines, *(["  * read once, not kept"] if any(file.temporary for file in plan.files) else [])]


def _disk(plan: Plan) -> list[str]:
    rows = [("stage", "at its peak", "there", "still needed", "where")]
    passing = False
    for demand in plan.demands:
        stage = demand.stage
        if stage.peak or demand.there:
            mark = " *" if stage.passing > stage.bytes else ""
            passing |= bool(mark)
            cells = (size(stage.peak), size(demand.there + demand.passing_there), size(demand.more))
            rows.append((stage.name + mark, *cells, PLACES[stage.place]))
    peak, more = (sum(values) for values in zip(*((each.stage.peak, each.more) for each in plan.demands), strict=True))
    there = sum(each.there + each.passing_there for each in plan.demands)
    rows.append(("all", size(peak), size(there), size(more), ""))
    lines = [f"Disk: {size(more)} still needed", *columns(rows, "<>>><")]
    lines += ["  * most of it is deleted when the stage is done"] if passing else []
    for system in plan.systems:
        needed = sum(demand.more for demand in plan.demands if demand.stage.place in system.places)
        if needed:
            lines.append(f"  {size(system.free)} free on the file system of the following, {size(needed)} needed")
            lines += [f"    {PLACES[name]} {folder}" for name, folder in system.places.items()]
    return lines


def _jobs(plan: Plan) -> list[str]:
    cells = [f"{count:>6,} {rule}" for rule, count in sorted(plan.jobs.items(), key=lambda pair: (-pair[1], pair[0]))]
    width = max(map(len, cells)) + 2
    across = max(1, WIDTH // width)
    rows = [cells[start : start + across] for start in range(0, len(cells), across)]
    lines = ["".join(f"{cell:<{width}}" for cell in row).rstrip() for row in rows]
    return [f"Jobs: {_count(_total(plan.jobs))} for the whole study", *lines]


def _time(plan: Plan) -> list[str]:
    rates = plan.rates
    steps: dict[float, list[str]] = {}
    for name, value in rates.step.items():
        steps.setdefault(value, []).append(name)
    how = {
        "encode": f"{rates.tokens_per_second:,.0f} tokens/s",
        "train": "; ".join(f"{', '.join(names)} {_short(value)}/step" for value, names in steps.items()),
        "mine hard negatives": f"{1 / rates.seconds_per_pair / 1e6:,.0f} million query-passage pairs/s"
        if rates.seconds_per_pair
        else "",
        "score examples": "at the rate of encoding: assumed, a teacher of the base's size",
        "rerank": "at the rate of encoding: assumed, a cross-encoder of the base's size",
        "rank": "as mining" if any(each.stage.startswith("mine") for each in plan.durations) else "",
        OTHER: f"{len(plan.study.choices)} encodings of {plan.study.protocol[0]} by base",
        "write files": f"{size(rates.written_per_second)}/s",
    }
    where = rates.device if rates.device != "CPU" else f"CPU, {rates.threads} threads"
    lines = [f"Time: about {span(plan.seconds)} on this machine ({where})"]
    table = columns([(each.stage, span(each.seconds)) for each in plan.durations], "<>")
    for cells, each in zip(table, plan.durations, strict=True):
        lines += wrap(how[each.stage], WIDTH, initial_indent=f"{cells}  ", subsequent_indent=" " * (len(cells) + 2))
    if rates.load > BUSY:
        lines += _paragraph(
            f"Other work kept this machine busy ({rates.load:.1f} processes for each processor): idle, it is faster."
        )
    if plan.gpus > 1:
        lines.append(f"  encode, train and other protocols are shared by {plan.gpus} GPUs")
    return [*lines, *_paragraph(f"Not in it: {OMITTED}.")]


def _changes(plan: Plan) -> list[str]:
    """What a variant more, and another number of shards, would change."""
    study, expected = plan.study, plan.expected
    dimensions, index = plan.rates.dimensions, study.config["encoding"]["index"]
    disk, seconds = float(plan.model_bytes), 0.0
    for name, each in plan.facts.items():
        disk += expected.passages(name) * (vector_bytes(each, dimensions) + index_bytes(dimensions, index))
        disk += run_bytes(study, each, expected.ranked(name), 20)
        seconds += study.shards_of(name) * plan.seconds_of("encode_corpus", variant=BASE, collection=name)
    seconds += sum(plan.seconds_of("rank", collection=name, split=split) for name, split in study.evaluations)
    lines = [f"One more variant or seed: {size(disk)}, and {span(seconds)} to encode and rank; training"]
    trained = {name: plan.seconds_of("train_variant", variant=name) for name in study.trained}
    lines[0] += (
        f" {', '.join(f'{span(value)} as {name}' for name, value in trained.items())}." if trained else " apart."
    )
    here, shards = study.train_on, study.shards_of(study.train_on)
    if expected.passages(here):
        one = span(plan.seconds_of("encode_corpus", variant=BASE, collection=here))
        memory = size(expected.passages(here) / shards * vector_bytes(plan.facts[here], dimensions))
        lines.append(
            f"Shards change no total: {shards} cut {here} into jobs of {one} to encode a model, each with "
            f"{memory} of vectors. More shards take less memory and lose less when a job dies; fewer make fewer jobs."
        )
    return ["How it changes", *(line for text in lines for line in _paragraph(text))]


def _assumptions(plan: Plan) -> list[str]:
    told = [f"{name}: {text}." for name, each in plan.facts.items() for text in each.assumed]
    tokens = ", ".join(f"{name} {each.passage_tokens:.0f}" for name, each in plan.facts.items())
    limit = plan.study.config["encoding"]["max_length"]
    told += [
        f"Tokens a passage, from its bytes: {tokens}; cut at {limit} in encoding.",
        "Training batches are padded to the variant's max_length; jobs run one after another (--cores 8).",
        "Queries without a judgment are dropped: at most one query for each judgment was counted.",
        "Models take checkpoints while they train: room is counted for all trainings at once, of which one that ends "
        "within two minutes writes none.",
    ]
    if plan.study.config["encoding"]["index"] != "Flat":
        told.append("Searches were measured, and are estimated, as exact ones (Flat).")
    return ["Assumed", *(line for text in told for line in _paragraph(text))]


def _paragraph(text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _total(jobs: dict[str, int]) -> int:
    return sum(jobs.values())


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
