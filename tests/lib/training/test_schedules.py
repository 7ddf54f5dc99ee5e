"""Learning rates against transformers' schedulers of the same names, at every step."""

import pytest
import torch
import yaml
from transformers import get_scheduler

from backfire.training.schedules import SCHEDULES

PEAK, STEPS = 2e-5, 37


@pytest.mark.parametrize("warm_up", [0, 1, 4, STEPS])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_that_of_transformers_at_each_step(name, warm_up):
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    peer = get_scheduler(name, optimiser, num_warmup_steps=warm_up, num_training_steps=STEPS)
    rates = []
    for step in range(STEPS):
        rates.append(SCHEDULES[name](PEAK, step, warm_up, STEPS))
        assert rates[-1] == pytest.approx(peer.get_last_lr()[0], rel=1e-12, abs=1e-20), step
        optimiser.step()
        peer.step()
    assert max(rates) <= PEAK
    # Not all the same, but for the one that is.
    assert (len(set(rates)) == 1) == (name == "constant" or (name, warm_up) == ("constant_with_warmup", 0))


def test_every_schedule_can_be_written_and_no_other(root):
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text())
    kinds = schema["properties"]["variants"]["additionalProperties"]["oneOf"]
    full, lora = (kind["properties"] for kind in kinds if kind["properties"]["method"]["const"] in ("full", "lora"))
    assert full["schedule"] == lora["schedule"]
    assert set(full["schedule"]["enum"]) == set(SCHEDULES)
