"""From the first step, or the last checkpoint, to the last step."""

import logging
import time
from dataclasses import dataclass

import torch

from backfire.jobs.logs import notice, progress
from backfire.jobs.resources import peak_gpu_memory, peak_resident
from backfire.training.checkpoints import Checkpoints, State, noting_signals
from backfire.training.data import Examples, batches
from backfire.training.held_out import HeldOut
from backfire.training.recorder import Recorder
from backfire.training.steps import Stepper

logger = logging.getLogger(__name__)


@dataclass
class Spent:
    """What a training took, over all attempts.

    `seconds` are those of the steps that led to the model, of recording them, and of looks at examples that the
    variant's own recipe holds out. Loading, development measures and writing checkpoints are left out, and so is what a
    killed attempt did after its last checkpoint: it is what an unbroken run would have taken. Memory is in
    MiB, the largest of the attempts as far as a checkpoint or the end saw it; of a GPU None where there was none.
    """

    seconds: float = 0.0
    peak_memory: float = 0.0
    peak_gpu_memory: float | None = None

    def see_memory(self) -> None:
        """Take in what this process has used so far."""
        self.peak_memory = max(self.peak_memory, peak_resident())
        if (used := peak_gpu_memory()) is not None:
            self.peak_gpu_memory = max(self.peak_gpu_memory or 0.0, used)


def take_steps(
    stepper: Stepper,
    recorder: Recorder,
    held_out: HeldOut,
    data: Examples,
    batch_size: int,
    states: Checkpoints,
    label: str,
    stops: bool = False,
) -> Spent:
    """Train to the last step, from the newest of `states` where there is one.

    Tells of harm as soon as the recorder warns of it, and where it `stops` that step is the last.

    SIGTERM and SIGINT end the process after the step that it is at, with a checkpoint.
    """
    spent = _resume(stepper, recorder, held_out, states)
    steps, earlier, measured = stepper.steps, spent.seconds, recorder.development_seconds
    warned, begun = False, time.perf_counter()
    with progress(label, steps, "step") as bar, noting_signals() as signalled:
        bar.initial = bar.n = stepper.taken
        for chosen in batches(len(data), batch_size, range(stepper.taken, steps), stepper.seed):
            step = stepper.step(data, chosen, recorder.layers_at(stepper.taken + 1))
            recorder.add(step)
            warned = _warn(recorder, label, warned)
            bar.set_postfix(loss=f"{step.loss:.4f}", refresh=False)
            bar.update(1)
            aside = states.seconds + recorder.development_seconds - measured
            spent.seconds = earlier + time.perf_counter() - begun - aside
            if stops and warned:
                break
            number = signalled()
            if number or states.due():
                spent.see_memory()
                states.write(stepper.taken, _state(stepper, recorder, held_out, spent))
            if number:
                logger.warning("signal %d: ends after step %d of %d", number, stepper.taken, steps)
                raise SystemExit(128 + number)
    spent.see_memory()
    return spent


def _warn(recorder: Recorder, label: str, warned: bool) -> bool:
    """Tell of an alarm once; gives whether there is one."""
    if recorder.alarm and not warned:
        told = "%s: early warning after step %d: the watched queries have lost %.4f on average since the start"
        notice(told, label, recorder.alarm.step, -recorder.alarm.change)
    return recorder.alarm is not None


def _state(stepper: Stepper, recorder: Recorder, held_out: HeldOut, spent: Spent) -> State:
    (tensors, notes), (kept, more) = stepper.state(), held_out.state()
    more |= {"rows": recorder.rows, "spent": vars(spent), "hardware": _hardware(stepper)}
    return State(tensors | kept, notes | more)


def _resume(stepper: Stepper, recorder: Recorder, held_out: HeldOut, states: Checkpoints) -> Spent:
    state = states.load()
    if state is None:
        recorder.begin()
        return Spent()
    stepper.restore(state)
    held_out.restore(state)
    recorder.go_on(state.notes["rows"])
    logger.warning("goes on after step %d of %d, from a checkpoint", stepper.taken, stepper.steps)
    here, there = _hardware(stepper), state.notes["hardware"]
    if here != there:
        logger.warning("begun on %s, goes on on %s: an unbroken run may differ in the last digits", there, here)
    return Spent(**state.notes["spent"])


def _hardware(stepper: Stepper) -> str:
    """What the bits of a sum depend on."""
    if stepper.model.device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"a CPU ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"
