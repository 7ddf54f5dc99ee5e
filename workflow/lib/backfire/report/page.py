"""The report: one self-contained HTML page, the verdict first, every setting last."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from backfire.evaluation.verdict import sentence, words
from backfire.formats.atomic import read_json, replacing
from backfire.formats.tables import read_rows
from backfire.report.advice import advise
from backfire.report.answer import answer
from backfire.report.arithmetic import with_settled
from backfire.report.best import best_told, shares_told
from backfire.report.choices import protocol_table
from backfire.report.curves import read_curves, training_table, warnings
from backfire.report.findings import Findings, headline, read_findings
from backfire.report.forecast import forecast_section
from backfire.report.forensics import doses_told, forensics_section
from backfire.report.ladder import ladder_section
from backfire.report.layers import layers_table
from backfire.report.maps import maps_told
from backfire.report.method import flattened, method_paragraphs, relevance
from backfire.report.models import read_certificates
from backfire.report.numbers import count, plain
from backfire.report.opinions import opinions_section
from backfire.report.paper import main_rows, paragraph
from backfire.report.queries import which_queries
from backfire.report.recipes import recipe
from backfire.report.recommendation import systems_table
from backfire.report.references import reference_table
from backfire.report.tables import comparison_tables, cost_table, geometry_tables, latency_table
from backfire.report.ties import ties_summary
from backfire.report.words import GEOMETRY, measure_meaning
from backfire.study.study import Study
from backfire.study.variants import variant

# A larger vector graphic is replaced by its bitmap, which keeps the page light to load and to mail.
LARGEST_SVG = 400_000


def write_report(
    comparison: str | Path,
    ties: str | Path,
    geometry: str | Path,
    cost: str | Path,
    moved: str | Path,
    strata: str | Path,
    replaced: str | Path,
    maps: str | Path,
    dynamics: list[str | Path],
    layers: list[str | Path],
    runs: Sequence[Sequence],
    models: Mapping[tuple[str, int], str | Path],
    manifests: dict[str, str | Path],
    samples: list[str],
    figures: dict[str, tuple[str | Path, str | Path]],
    config: dict[str, Any],
    variants: list[str],
    versions: dict[str, str],
    command: str,
    expected: str | Path,
    selection: str | Path | None,
    protocol: str | Path | None,
    ladder: str | Path | None,
    forensics: tuple[str | Path, str | Path] | None,
    doses: str | Path | None,
    missing_labels: str | Path | None,
    forecast: str | Path,
    recommendation: str | Path,
    best: Sequence[str | Path],
    arithmetic: str | Path | None,
    template: str | Path,
    captions: dict[str, str | Path],
    css: str | Path,
    output: str | Path,
    short: str | Path,
) -> None:
    """Render the page of one study, and the answer in a few lines of text to `short`.

    `dynamics` are the training curves of `runs`, (variant, seed) each, and `layers` the tables of that name; `models`
    the folder of every model by variant and seed; `manifests` the data manifest of each collection; `samples` the
    manifest of each triple set with a filter, seed by seed; `figures` the (svg, png) of `dynamics`, `projection`,
    `effects`, `queries`, `cost` and, with a ladder, `ladder`. `config` is the whole configuration, checked and with
    defaults, and `variants` the order of the tables. `versions` maps packages to versions, `command` is what repeats
    the study. `expected` holds published figures (see `published`); `selection`, `protocol` and `ladder` are the tables
    of those names, None where the study chooses nothing, tries no other protocol or has no ladder; `forensics` are the
    tables `forensics` and `filter_curves`, None where nothing is trained; `doses` is the table of that name, None where
    no variants differ in their share of wrong labels alone; `missing_labels` that of what a judge says, None where the
    study names none; `forecast` is what was seen before training, as JSON, `recommendation` the table of that name, and
    `best` which variant was taken for the best of several, as JSON; `arithmetic` is what was settled, None where
    nothing is left to `precision: auto`. `captions` are those of the figures, which Snakemake's own report shows too.
    The page loads nothing from anywhere and holds no date, so that the same inputs give the same bytes.
    """
    study = Study(config)
    found = read_curves(dynamics, runs, models)
    findings = read_findings(comparison, geometry, recommendation, found, config, variants)
    primary, alpha, rows = findings.primary, findings.alpha, findings.rows
    watched, curves = training_table(found)
    told = words(config["comparison"], primary[2])
    base = findings.base
    described = {name: read_json(path) for name, path in manifests.items()}
    advice = advise(findings)
    settled = read_json(arithmetic) if arithmetic else None
    page = {
        "study": config["study"],
        "model": config["base_model"],
        "css": Markup(Path(css).read_text(encoding="utf-8")),
        "headline": headline(findings),
        "collection": primary[0],
        "split": primary[1],
        "measure": primary[2],
        "queries": count(base["queries"], "query", "queries") if base else "no queries",
        "base_mean": plain(base["mean"]) if base else plain(None),
        "seeds": findings.seeds,
        "confidence": f"{100 * (1 - alpha):g} %",
        "alpha": f"{alpha:g}",
        "cards": cards(findings),
        "advice": advice,
        "systems": systems_table(findings),
        "forecast": forecast_section(forecast, {name: row["verdict"] for name, row in findings.claims.items()}),
        "best": [*best_told(best, study.choosing), *shares_told(models, study.weighing)],
        "paragraph": paragraph(main_rows(rows, primary), config["base_model"], primary, config["comparison"]),
        "words": told,
        "keeping": any(row["retention"] for row in rows),
        "captions": {name: caption(path, config | {"words": told}) for name, path in captions.items()},
        "others": [{"sentence": sentence(row, alpha), "verdict": row["verdict"]} for row in findings.others],
        "tables": comparison_tables(findings, relevance(study)),
        "ties": ties_summary(ties, variants),
        "which": which_queries(moved, strata, replaced, variants, alpha),
        "opinions": opinions_section(missing_labels, study.judge, variants, alpha) if missing_labels else None,
        "references": reference_table(expected, with_settled(config, settled), described, rows, found),
        "protocol": protocol_table(protocol, primary[2]) if protocol else None,
        "ladder": ladder_section(ladder, study.ladder, primary) if ladder else None,
        "forensics": forensics_section(*forensics, study.triples) if forensics else None,
        "doses": doses_told(doses, primary) if doses else [],
        "measures": {name: measure_meaning(name) for name in dict.fromkeys(row["measure"] for row in rows)},
        "maps": maps_told(maps, variants, _fitted(study)),
        "watched": watched,
        "curves": curves,
        "warnings": warnings(
            found,
            {name: row["verdict"] for name, row in findings.claims.items()},
            config["dynamics"]["measures"][0],
            config["dynamics"]["false_alarms"],
        ),
        "tested": config["dynamics"]["measures"][0],
        "layers": layers_table(layers, runs),
        "geometry": geometry_tables(geometry, variants),
        "terms": GEOMETRY,
        "cost": cost_table(cost, variants),
        "latency": latency_table(cost, variants),
        "figures": {name: picture(*files) for name, files in figures.items()},
        "method": method_paragraphs(
            config,
            variants,
            described,
            read_rows(selection, "selection").to_pylist() if selection else [],
            read_certificates(models),
            _samples(study, samples),
            settled,
        ),
        "manifests": {name: flattened(manifest) for name, manifest in described.items()},
        "config": yaml.safe_dump(_ordered(config, variants), sort_keys=False, allow_unicode=True, width=100),
        "versions": versions,
        "command": command,
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(Path(template).read_text(encoding="utf-8")).render(page)
    with replacing(output) as temporary:
        temporary.write_text(html, encoding="utf-8")
    with replacing(short) as temporary:
        temporary.write_text(answer(findings, advice, config["study"], str(output)), encoding="utf-8")


def _fitted(study: Study) -> dict[str, str]:
    """The variant that the map of each variant with vectors was fitted on."""
    return {name: study.space(name) for name in study.embedded}


def _samples(study: Study, paths: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The manifests of each set that says what was dropped, from their paths: set by set, and of each seed by seed."""
    read = iter(paths)
    return {name: [read_json(next(read)) for _ in study.seeds] for name in study.counted}


def cards(findings: Findings) -> list[dict[str, Any]]:
    """What each tuned variant's card shows; positions on its scale run from 0 to 100, the same for all cards."""
    bounds = [row[key] for row in findings.claims.values() for key in ("ci_low", "ci_high", "delta")]
    reach = 1.1 * max((abs(bound) for bound in bounds if bound is not None), default=0) or 1.0
    return [
        {
            "variant": name,
            "verdict": row["verdict"],
            "sentence": sentence(row, findings.alpha).replace(" % ", "\N{NO-BREAK SPACE}% "),
            "recipe": recipe(variant(name, findings.variants[name]), findings.triples),
            "tally": [(row["wins"], "better"), (row["ties"], "same"), (row["losses"], "worse")],
            **{
                key: None if row[key] is None else round(50 + 50 * row[key] / reach, 2)
                for key in ("ci_low", "ci_high", "delta")
            },
        }
        for name, row in findings.claims.items()
    ]


def caption(path: str | Path, config: dict[str, Any]) -> str:
    """The text of a caption that is written for Snakemake's report, which fills it in from the configuration."""
    template = Environment(undefined=StrictUndefined).from_string(Path(path).read_text(encoding="utf-8"))
    return " ".join(template.render(snakemake={"config": config}).split())


def picture(svg: str | Path, png: str | Path) -> str:
    """A figure as a data URI: the vector graphic, or the bitmap where the former is large."""
    kind, path = ("svg+xml", Path(svg)) if Path(svg).stat().st_size <= LARGEST_SVG else ("png", Path(png))
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _ordered(config: dict[str, Any], variants: list[str]) -> dict[str, Any]:
    """The configuration with its variants in the study's order, which is that of every table."""
    return config | {"variants": {name: config["variants"][name] for name in variants}}
