"""A training that is killed and started again ends where an unbroken one does, byte for byte."""

import json
import logging
import multiprocessing
import os
import random
import re
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import LAYOUTS, SIZE
from small_training import SETTINGS as SMALL

from backfire.formats.tables import read_rows, write_rows
from backfire.training import loop, run
from backfire.training.checkpoints import Checkpoints, Pace, State, alone, noting_signals
from backfire.training.data import Examples
from backfire.training.recorder import Recorder
from backfire.training.trainable import load_start

SETTINGS = SMALL | {
    "learning_rate": 1.0e-3,
    "epochs": 2,
    "batch_size": 2,
    "warmup_ratio": 0.2,
    "weight_decay": 0.1,
    "max_length": 16,
    "dropout": 0.1,
}
STEPS = 8
LORA = {"rank": 2, "alpha": 4, "dropout": 0.1, "target_modules": ["query"]}
BEST = {
    "keep": "best",
    "held_out": {"share": 0.25, "by": "query", "interval": 1, "measure": "loss"},
    "epochs": STEPS / 3,
}
METHODS = {
    "full": {"dropout": 0.0},
    "full with dropout": {},
    "lora": {"method": "lora", "lora": LORA | {"dropout": 0.0}, "dropout": 0.0},
    "lora with dropout": {"method": "lora", "lora": LORA},
    "dora": {"method": "lora", "lora": LORA | {"use_dora": True, "bias": "lora_only"}},
    "pissa": {"method": "lora", "lora": LORA | {"init_lora_weights": "pissa_niter_2", "use_rslora": True}},
    # Six examples are left, three steps an epoch: as many steps as the others take.
    "full, best kept": {"dropout": 0.0} | BEST,
    "lora with dropout, best kept": {"method": "lora", "lora": LORA} | BEST,
}
EVERY_STEP = Pace(0.0, float("inf"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Eight triples, three development queries, and a BERT of two small layers: how a training goes on does not depend
    on the size of its model, and a checkpoint of the real one is a third of a gigabyte."""
    from backfire.planning.probe import words

    folder = tmp_path_factory.mktemp("inputs")

    def table(name, kind, rows):
        write_rows(folder / name, kind, rows)
        return str(folder / name)

    triples = [{"query_id": f"q{i}", "positive_id": f"d{i}", "negative_id": f"d{i + 5}"} for i in range(8)]
    return {
        "start": str(LAYOUTS["bert-mean"].build(folder / "model")),
        "triples": table(
            "triples", "triples", [{**row, "example": i, "source": "random"} for i, row in enumerate(triples)]
        ),
        "queries": table("queries", "queries", [{"query_id": f"q{i}", "text": words(5, i)} for i in range(10)]),
        "corpus": [table("corpus", "corpus", [{"doc_id": f"d{i}", "text": words(9 + i, 31 + i)} for i in range(15)])],
        "development_queries": table("dev", "queries", [{"query_id": f"q{i}", "text": words(4, i)} for i in range(3)]),
        "development_qrels": table(
            "qrels", "qrels", [{"query_id": f"q{i}", "doc_id": f"d{i}", "relevance": 1} for i in range(3)]
        ),
    }


def train(inputs, folder, settings=None, pace=EVERY_STEP, code="code", seed=3):
    """Train in `folder`, with a checkpoint after every step; the log is in it too.

    By one thread: on a busy machine several wait for each other, in every one of some hundred steps.
    """
    folder.mkdir(exist_ok=True)
    handler = logging.FileHandler(folder / "log")
    logging.getLogger("backfire").addHandler(handler)
    logging.getLogger("backfire").setLevel(logging.INFO)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _train(inputs, folder, settings, pace, code, seed)
    finally:
        torch.set_num_threads(threads)
        logging.getLogger("backfire").removeHandler(handler)
        handler.close()


def _train(inputs, folder, settings, pace, code, seed):
    run.train_variant(
        **inputs,
        settings=SETTINGS | (settings or {}),
        dynamics={
            "measures": ["RR@10"],
            "interval": 4,
            "queries": 3,
            "pool": 8,
            "on_harm": "warn",
            "false_alarms": 0.05,
        },
        seed=seed,
        base_name="base",
        output=str(folder / "model"),
        dynamics_table=str(folder / "dynamics.parquet"),
        development_table=str(folder / "development.parquet"),
        layers_table=str(folder / "layers.parquet"),
        cost=str(folder / "cost.json"),
        label=None,
        checkpoints=str(folder / "checkpoints"),
        code=code,
        pace=pace,
    )


def outcome(folder):
    """Every byte of the model, and the dynamics."""
    model = {p.relative_to(folder): p.read_bytes() for p in sorted((folder / "model").rglob("*")) if p.is_file()}
    assert model
    names = ("dynamics", "development", "layers")
    tables = [read_rows(folder / f"{name}.parquet", name).to_pylist() for name in names]
    assert all(tables)
    return model, *tables


def states(folder):
    return sorted((folder / "checkpoints").glob("*/step-*"))


def log(folder):
    return (folder / "log").read_text()


@pytest.fixture(scope="module")
def unbroken(inputs, tmp_path_factory):
    """A function that gives the outcome of an unbroken training by a method, made once; its pace is the default."""
    known = {}

    def outcome_of(method, start=inputs["start"]):
        if (method, start) not in known:
            folder = tmp_path_factory.mktemp("unbroken")
            train(inputs | {"start": start}, folder, METHODS[method], pace=Pace())
            assert "checkpoint" not in log(folder)
            known[method, start] = outcome(folder)
        return known[method, start]

    return outcome_of


def until(condition, *processes):
    """Wait for something that the processes bring about, as long as all of them live."""
    while not condition():
        assert all(process.is_alive() for process in processes), "a process has ended, and it never came"
        time.sleep(0.005)


class Stop(Exception):
    """A kill that a test can catch: nothing that the library does on the way out helps it."""


def broken(monkeypatch, inputs, folder, after, **arguments):
    """Train until step `after` has been recorded, and stop before its checkpoint."""
    plain = Recorder.add

    def add(recorder, step):
        plain(recorder, step)
        if len(recorder.rows) == after + 1:
            raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Recorder, "add", add)
        train(inputs, folder, **arguments)


@pytest.fixture(scope="module")
def start():
    """A function that starts `train` in a process of its own, which need not import anything again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["backfire.training.run", "backfire.encoders.peft_adapters", "test_resume"])

    def begin(*arguments):
        process = context.Process(target=train, args=arguments)
        process.start()
        return process

    return begin


@pytest.mark.parametrize(
    ("method", "real"),
    [
        ("full with dropout", True),
        ("lora with dropout", False),
        ("pissa", False),
        ("lora with dropout, best kept", False),
    ],
)
def test_a_training_killed_at_random_ends_as_an_unbroken_one(
    start, inputs, real_model, unbroken, tmp_path, method, real
):
    """Killed with checkpoints at every step, so that many kills fall into the writing of one; once the real model."""
    inputs = inputs | {"start": str(real_model)} if real else inputs
    chance, kills, reached = random.Random(method), 0, 0
    while True:
        process = start(inputs, tmp_path, METHODS[method])
        target = reached + chance.randint(1, 2)
        while process.is_alive() and not any(int(path.stem[5:]) >= target for path in states(tmp_path)):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.3 if method == "full with dropout" else 0.03))
        if kills < 3 and process.is_alive():
            process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
            reached = max((int(path.stem[5:]) for path in states(tmp_path)), default=0)
            assert len(states(tmp_path)) <= 3
            continue
        process.join()
        assert process.exitcode == 0
        break
    # On a busy machine a process may end before it is killed.
    assert kills
    assert outcome(tmp_path) == unbroken(method, inputs["start"])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [".lock"]
    assert f"goes on after step {reached} of {STEPS}" in log(tmp_path)


@pytest.mark.parametrize("method", ["full", "lora", "dora", "pissa", "full, best kept"])
def test_every_method_goes_on_where_it_was(monkeypatch, inputs, real_model, unbroken, tmp_path, method):
    # What these steps do to the real model is known: they break it.
    inputs = inputs | {"start": str(real_model)} if "best" in method else inputs
    broken(monkeypatch, inputs, tmp_path, after=3, settings=METHODS[method])
    broken(monkeypatch, inputs, tmp_path, after=6, settings=METHODS[method])
    assert [path.stem for path in states(tmp_path)] == ["step-000000004", "step-000000005"]
    train(inputs, tmp_path, METHODS[method])
    assert re.findall("goes on after step (.) of 8", log(tmp_path)) == ["2", "5"]
    if "best" in method:
        # What is kept was not seen by the last attempt, which had it from its checkpoint.
        assert json.loads((tmp_path / "model/training.json").read_text())["kept"]["step"] < 5
    assert outcome(tmp_path) == unbroken(method, inputs["start"])


def test_what_is_restored_is_what_was_kept(real_model):
    """Also the share of violated triplets, which decides how the next step is computed, not what it computes."""

    def stepper():
        return loop.Stepper(load_start(str(real_model), SETTINGS, "base", 0, torch.device("cpu")), SETTINGS, 9, 0)

    one, other = stepper(), stepper()
    tokens = one.model.tokenizer.tokenize(["a river", "a sea", "a market"], "query", 16)
    one.step(Examples.of(tokens, np.array([[0, 1, 2]])), np.array([0]))
    kept = one.state()
    assert kept.notes == {"taken": 1, "active": 1.0, "scaler": {}}
    assert {name.split("/")[-1] for name in kept.tensors if "optimiser" in name} == {"step", "exp_avg", "exp_avg_sq"}
    other.restore(State({name: tensor.clone() for name, tensor in kept.tensors.items()}, kept.notes))
    assert other.state().notes == kept.notes
    assert other.state().tensors.keys() == kept.tensors.keys()
    assert all(torch.equal(tensor, kept.tensors[name]) for name, tensor in other.state().tensors.items())


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def flipped(path):
    with path.open("r+b") as stream:
        stream.seek(-1000, os.SEEK_END)
        byte = stream.read(1)
        stream.seek(-1000, os.SEEK_END)
        stream.write(bytes([byte[0] ^ 4]))


def emptied(path):
    os.truncate(path, 0)


@pytest.mark.parametrize(("damage", "count", "after"), [(truncated, 1, 3), (flipped, 1, 3), (emptied, 2, None)])
def test_a_damaged_checkpoint_is_not_used(monkeypatch, inputs, unbroken, tmp_path, damage, count, after):
    broken(monkeypatch, inputs, tmp_path, after=5, settings=METHODS["lora"])
    for path in states(tmp_path)[-count:]:
        damage(path)
    train(inputs, tmp_path, METHODS["lora"])
    assert log(tmp_path).count("is damaged and is not used") == count
    assert ("goes on after step 3" in log(tmp_path)) == (after == 3)
    assert outcome(tmp_path) == unbroken("lora")


def test_a_checkpoint_that_holds_no_numbers_is_not_used(tmp_path):
    kept = Checkpoints(tmp_path, EVERY_STEP)
    mask, weight = torch.tensor([float("-inf"), 0.0]), torch.tensor([1.0, 2.0])
    kept.write(1, State({"weights/a": weight, "buffers/mask": mask}, {"taken": 1}))
    kept.write(2, State({"weights/a": weight * float("nan"), "buffers/mask": mask}, {"taken": 2}))
    assert kept.load().notes == {"taken": 1}
    assert [path.stem for path in tmp_path.iterdir()] == ["step-000000001"]


def test_a_checkpoint_of_another_training_is_not_used(monkeypatch, inputs, tmp_path):
    settings = METHODS["lora"]
    changed = tmp_path / "changed.parquet"
    rows = read_rows(inputs["triples"], "triples").to_pylist()
    write_rows(changed, "triples", [row | {"example": place} for place, row in enumerate(rows[::-1])])
    moved = tmp_path / "moved.parquet"
    moved.write_bytes(Path(inputs["triples"]).read_bytes())
    broken(monkeypatch, inputs, tmp_path, after=3, settings=settings)
    for other in (
        {"settings": settings | {"learning_rate": 2e-3}},
        {"code": "other code"},
        {"seed": 4},
        {"inputs": inputs | {"triples": str(changed)}},
    ):
        broken(monkeypatch, **({"inputs": inputs, "folder": tmp_path, "after": 1, "settings": settings} | other))
        assert "goes on" not in log(tmp_path), other
    # The same bytes elsewhere are the same training.
    broken(monkeypatch, inputs | {"triples": str(moved)}, tmp_path, after=4, settings=settings)
    assert "goes on after step 2" in log(tmp_path)


def test_of_two_processes_the_second_finds_the_work_of_the_first(start, inputs, unbroken, tmp_path):
    with alone(tmp_path / "checkpoints"):
        processes = [start(inputs, tmp_path, METHODS["lora"]) for _ in range(2)]
        waits = lambda: (tmp_path / "log").exists() and log(tmp_path).count("another process trains this model") == 2  # noqa: E731
        until(waits, *processes)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert log(tmp_path).count("after step 8 a checkpoint") == 1
    assert log(tmp_path).count("another process has written this very model") == 1
    assert outcome(tmp_path) == unbroken("lora")


def test_a_second_process_goes_on_when_the_first_is_killed(start, inputs, unbroken, tmp_path):
    first = start(inputs, tmp_path, METHODS["lora"])
    until(lambda: states(tmp_path), first)
    os.kill(first.pid, signal.SIGSTOP)
    second = start(inputs, tmp_path, METHODS["lora"])
    until(lambda: "another process trains this model" in log(tmp_path), second)
    first.kill()
    second.join()
    assert second.exitcode == 0
    assert "goes on after step" in log(tmp_path)
    assert outcome(tmp_path) == unbroken("lora")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_of_the_step_it_came_in(monkeypatch, inputs, unbroken, tmp_path, number):
    plain = Recorder.add

    def add(recorder, step):
        plain(recorder, step)
        if len(recorder.rows) == 6:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(Recorder, "add", add)
        train(inputs, tmp_path, METHODS["lora"], pace=Pace())
    assert caught.value.code == 128 + number
    assert [path.stem for path in states(tmp_path)] == ["step-000000005"]
    assert not (tmp_path / "model").exists()
    train(inputs, tmp_path, METHODS["lora"], pace=Pace())
    assert "goes on after step 5 of 8" in log(tmp_path)
    assert outcome(tmp_path) == unbroken("lora")


def test_a_second_signal_acts_as_before():
    # Where tests run in the background it is ignored from the start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), noting_signals() as noted:
        signal.raise_signal(signal.SIGINT)
        assert noted() == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    signal.signal(signal.SIGINT, before)


def test_the_cost_is_that_of_all_attempts(monkeypatch, inputs, tmp_path):
    """Eight steps of a second each, by a clock that stands still otherwise; what was lost is not counted."""
    now, memory = [0.0], [300.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(loop, "peak_resident", lambda: memory[0])
    plain_step, plain_write = loop.Stepper.step, Checkpoints.write

    def step(stepper, *arguments):
        now[0] += 1.0
        return plain_step(stepper, *arguments)

    def write(checkpoints, *arguments):
        now[0] += 50.0
        checkpoints.seconds += 50.0
        plain_write(checkpoints, *arguments)

    monkeypatch.setattr(loop.Stepper, "step", step)
    monkeypatch.setattr(Checkpoints, "write", write)
    broken(monkeypatch, inputs, tmp_path, after=4, settings=METHODS["lora"])
    memory[0] = 200.0
    train(inputs, tmp_path, METHODS["lora"])
    cost = json.loads((tmp_path / "cost.json").read_text())
    assert cost["training_time"] == pytest.approx(8.0)
    assert cost["training_peak_memory"] == 300.0
    assert cost["trainable_parameters"] == 2 * 2 * SIZE * 2


def test_writing_takes_a_small_share_of_the_time(monkeypatch, tmp_path):
    """A write of 0.3 s is due after two minutes, one of 6 s after ten."""
    from backfire.training import checkpoints

    now, took = [0.0], [0.3]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(checkpoints, "_write", lambda *_: now.__setitem__(0, now[0] + took[0]))
    kept, written = Checkpoints(tmp_path, Pace()), []
    for second in range(3600):
        now[0] += 1.0
        took[0] = 0.3 if second < 1000 else 6.0
        if kept.due():
            kept.write(second, State({}, {}))
            written.append(second)
    gaps = [later - earlier for earlier, later in pairwise(written)]
    assert min(gaps) == 120 and 600 <= max(gaps) <= 601
    assert 0 < kept.seconds < 0.01 * now[0]


def test_a_full_disk_stops_no_training(monkeypatch, inputs, unbroken, tmp_path):
    from backfire.training import checkpoints

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "_write", full)
    train(inputs, tmp_path, METHODS["lora"])
    assert log(tmp_path).count("No space left on device") == STEPS
    assert outcome(tmp_path) == unbroken("lora")


def test_a_lock_is_free_again_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(Stop), alone(tmp_path):
            raise Stop


@pytest.fixture(scope="module", autouse=True)
def importable():
    """A process that is started has to find this file."""
    sys.path.insert(0, str(Path(__file__).parent))
    yield
    sys.path.remove(str(Path(__file__).parent))
