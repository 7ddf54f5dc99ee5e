"""Kills of the engine and of its jobs at random moments of a run, each followed by the same command again.

By hand, over the default study, from the repository:

    python -m tests.kills /tmp/kills --kills 20

runs it undisturbed in /tmp/kills/undisturbed, where that has not been done, and in /tmp/kills/killed-<seed> with `kill
-9` at 20 moments that are spread over the jobs. It fails unless the measures are equal byte for byte, no lock had to be
taken off that the engine did not tell of, no job that had ended ran again, no job outlived its engine, and nothing
half-written was left.
"""

import argparse
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
_STARTED = re.compile(
    r"^(?:local)?rule (\w+):\n(?:    (?!output|jobid).*\n)*(?:    output: (.*)\n)?(?:    .*\n)*?    jobid: (\d+)\n",
    re.M,
)
_FINISHED = re.compile(r"^Finished jobid: (\d+) ", re.M)
# A killed engine's jobs end as soon as they notice; a training after the step that it is at.
PATIENCE = 120.0


@dataclass
class Session:
    """One start of the engine: its process, and the file that holds what it printed."""

    process: subprocess.Popen
    output: Path

    def text(self) -> str:
        """All that was printed so far."""
        return self.output.read_text(errors="replace")

    def started(self) -> dict[str, str]:
        """The jobs that were started, by the engine's number: rule and outputs."""
        return {number: f"{rule} {output}" for rule, output, number in _STARTED.findall(self.text())}

    def finished(self) -> set[str]:
        """The jobs that have ended well."""
        jobs = self.started()
        return {jobs[number] for number in _FINISHED.findall(self.text()) if number in jobs}


@dataclass
class Killing:
    """Runs of one study in one folder, and what was seen."""

    directory: Path
    study: Path
    targets: list[str]
    source: Path = ROOT
    sessions: list[Session] = field(default_factory=list)
    kills: Counter = field(default_factory=Counter)
    unlocked: int = 0
    problems: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        """The engine's command line for this study."""
        command = [sys.executable, "-m", "snakemake", *self.targets, *arguments, "--cores", "8"]
        command += ["--directory", str(self.directory), "--snakefile", str(self.source / "Snakefile")]
        return [*command, "--configfile", str(self.study)]

    def start(self) -> Session:
        """Start the engine."""
        self.directory.mkdir(parents=True, exist_ok=True)
        output = self.directory / f"session-{len(self.sessions) + 1}.txt"
        with output.open("w") as stream:
            process = subprocess.Popen(self.command(), cwd=self.directory, stdout=stream, stderr=subprocess.STDOUT)
        self.sessions.append(Session(process, output))
        return self.sessions[-1]

    def finished(self) -> set[str]:
        """The jobs that have ended well in any session."""
        return set().union(*(session.finished() for session in self.sessions))

    def undisturbed(self) -> int:
        """Run to the end; gives the number of jobs."""
        session = self.start()
        if session.process.wait():
            raise RuntimeError(session.text()[-3000:])
        return len(session.finished())

    def disturbed(self, jobs: int, kills: int, seed: int) -> None:
        """Kill one process in each of `kills` parts of the run, which has `jobs` jobs; then let it end."""
        chance, session = random.Random(seed), self.start()
        victims = (["engine", "job"] * kills)[:kills]
        chance.shuffle(victims)
        for part, victim in enumerate(victims):
            # Not the last two jobs, which may be over before they are hit.
            session = self._to_the_moment(session, (jobs - 2) * (part + chance.random()) / kills)
            time.sleep(chance.uniform(0.0, 1.0))
            self._kill(session, victim, chance)
            session = self.start()
        session = self._to_the_moment(session, float("inf"))
        if session.process.returncode:
            self.problems.append(f"the last start failed: {session.text()[-3000:]}")
        self._check()

    def _to_the_moment(self, session: Session, count: float) -> Session:
        """Wait until so many jobs have ended, or the engine; unlocks and starts again where it says so."""
        while len(self.finished()) < count:
            if session.process.poll() is not None:
                if "--unlock" not in session.text():
                    break
                self.unlocked += 1
                subprocess.run(self.command("--unlock"), cwd=self.directory, capture_output=True, check=True)
                session = self.start()
            time.sleep(0.05)
        return session

    def _kill(self, session: Session, victim: str, chance: random.Random) -> None:
        """Kill the engine, or one of the processes below it, and wait for the engine to end."""
        below: list[psutil.Process] = []
        while not below and session.process.poll() is None:
            below = psutil.Process(session.process.pid).children(recursive=True)
        if session.process.poll() is not None:
            self.problems.append(f"the engine ended before a kill: {session.text()[-3000:]}")
            return
        self.kills[victim] += 1
        (session.process if victim == "engine" else chance.choice(below)).send_signal(signal.SIGKILL)
        print(f"{len(self.finished())} jobs done: killed {victim}", flush=True)
        status = session.process.wait()
        if victim == "job" and status == 0:
            self.problems.append("a job was killed and the engine ended well")
        _, alive = psutil.wait_procs(below, PATIENCE)
        if alive:
            self.problems.append(f"outlived their engine: {[process.cmdline() for process in alive]}")

    def _check(self) -> None:
        """Look for jobs that ran again after they had ended, and for what killed processes left."""
        done: set[str] = set()
        for number, session in enumerate(self.sessions, start=1):
            again = done & set(session.started().values()) - {"all "}
            self.problems += [f"start {number} ran again: {job}" for job in sorted(again)]
            done |= session.finished()
        left = [path for path in self.directory.rglob(".*.partial*") if ".snakemake" not in path.parts]
        left += self.directory.glob("results/*/checkpoints/*/*/*/step-*")
        self.problems += [f"left behind: {path}" for path in left]
        again = subprocess.run(self.command("-n"), cwd=self.directory, capture_output=True, text=True, check=False)
        if "Nothing to be done" not in again.stdout + again.stderr:
            self.problems.append(f"a last start would not have nothing to do: {(again.stdout + again.stderr)[-3000:]}")

    def starts(self) -> int:
        """How many jobs were started, over all sessions."""
        return sum(len(session.started()) for session in self.sessions)


def differing(left: Path, right: Path, pattern: str) -> list[str]:
    """Files of one folder, by a pattern, that are not the same bytes in another; at least one has to be there."""
    names = [path.relative_to(left) for path in sorted(left.glob(pattern))]
    if not names:
        raise FileNotFoundError(f"{left}: no {pattern}")
    return [str(n) for n in names if not (right / n).is_file() or (left / n).read_bytes() != (right / n).read_bytes()]


def main() -> int:
    """Run from the command line; the exit status says whether all held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--study", type=Path, default=ROOT / "config.yaml")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = options.folder.resolve()
    whole, killed = (
        Killing(folder / name, options.study.resolve(), []) for name in ("undisturbed", f"killed-{options.seed}")
    )
    begun = time.time()
    first = whole.directory / "session-1.txt"
    jobs = len(Session(None, first).finished()) if first.exists() else whole.undisturbed()
    print(f"{jobs} jobs undisturbed, {time.time() - begun:.0f} s")
    begun = time.time()
    killed.disturbed(jobs, options.kills, options.seed)
    print(
        f"{dict(killed.kills)} killed, {killed.unlocked} times unlocked as told, {len(killed.sessions)} starts of the"
    )
    print(f"engine, {killed.starts()} of jobs, {time.time() - begun:.0f} s")
    for pattern in (
        "results/*/measures.parquet",
        "results/**/*.parquet",
        "results/**/*.trec",
        "results/**/*.safetensors",
    ):
        found = differing(whole.directory, killed.directory, pattern)
        print(f"{pattern}: {f'differ: {found}' if found else 'the same bytes'}")
        if found and "measures" in pattern:
            killed.problems.append(f"differ: {found}")
    for problem in killed.problems:
        print(f"PROBLEM {problem}")
    return bool(killed.problems)


if __name__ == "__main__":
    sys.exit(main())
