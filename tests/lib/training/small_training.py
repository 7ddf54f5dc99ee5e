"""Settings of a training of seconds on the small collection of `conftest.py`."""

from backfire.encoders.settled import multiplied

SETTINGS = {
    "method": "full",
    "loss": {"name": "triplet", "distance": "cosine", "margin": 0.5, "normalize": True},
    "learning_rate": 2.0e-5,
    "epochs": 1,
    "batch_size": 4,
    "schedule": "linear",
    "warmup_ratio": 0.1,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "max_length": 32,
    "dropout": 0.0,
    "precision": multiplied()[-1],
    "keep": "last",
    "held_out": None,
}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.1, "target_modules": ["query", "value"]}
DYNAMICS = {"split": "dev", "measures": ["RR@10"], "interval": 2, "queries": 6, "pool": 20}
DYNAMICS |= {"on_harm": "warn", "false_alarms": 0.05}
# Of the real model that the tests of training take, see `base_model` in conftest.py.
LAYERS = 2
