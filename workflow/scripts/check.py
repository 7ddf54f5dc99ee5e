"""Print what can be seen of the study before anything is trained."""

import sys
from pathlib import Path

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    print("\n" + Path(snakemake.input.text).read_text(encoding="utf-8"), file=sys.stderr, flush=True)
