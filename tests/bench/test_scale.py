"""The benchmark's tables come from the logs that real jobs leave."""

import json
import subprocess
import sys

JOB = """
import sys
from backfire.jobs.logs import job
with job(sys.argv[1]):
    data = b"x" * int(sys.argv[2])
"""
SHOW = """
import json, sys
from pathlib import Path
from bench.scale import disk, markdown, used
folder = Path(sys.argv[1])
measured = {"passages": 62500, "rules": used(folder), "disk": disk(folder), "seconds_of_the_run": 12.0}
print(json.dumps(measured))
print(markdown([measured]))
"""


def test_the_largest_job_of_each_rule_is_shown(root, tmp_path):
    logs = tmp_path / "results/scale/logs"
    jobs = {logs / "rank/base/a.log": 1, logs / "rank/base/b.log": 100 << 20}
    jobs[tmp_path / "data/synthetic/logs/export_corpus.log"] = 1
    for log, size in jobs.items():
        subprocess.run([sys.executable, "-c", JOB, str(log), str(size)], check=True)
    (logs / "rank/base/killed.log").write_text("no last line\n")
    (tmp_path / "results/scale/negatives/parts").mkdir(parents=True)
    (tmp_path / "results/scale/negatives/parts/1.parquet").write_bytes(b"x" * (3 << 20))
    (tmp_path / "results/scale/negatives/a.parquet").write_bytes(b"x" * (1 << 20))

    shown = subprocess.run(
        [sys.executable, "-c", SHOW, str(tmp_path)], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    first, _, tables = shown.partition("\n")
    measured = json.loads(first)
    assert {rule: used["jobs"] for rule, used in measured["rules"].items()} == {"export_corpus": 1, "rank": 2}
    rank, export = measured["rules"]["rank"], measured["rules"]["export_corpus"]
    assert 95 < rank["peak_mib"] - export["peak_mib"] < 105
    assert f"| rank | {rank['peak_mib']:.0f} (2) |" in tables
    assert tables.index("| export_corpus |") < tables.index("| rank |")
    assert measured["disk"]["candidates of parts (temporary)"] == 3
    assert measured["disk"]["candidates"] == 1
    assert "| rule | 62,500 |" in tables
