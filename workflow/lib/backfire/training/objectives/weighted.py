"""A weighted sum of other objectives, each by its own settings on the same batch."""

from collections import Counter

import torch

from backfire.training.objectives.batch import Batch, Objective, Outcome, objective


def build(settings: dict) -> Objective:
    """The objective of `loss` settings: `terms`, each with its weight and the settings of an objective.

    An example is active where one of the terms that know such a thing says so. Terms go by their names, from the second
    of a name on with its number: triplet, triplet_2.
    """
    terms, seen = {}, Counter()
    for term in settings["terms"]:
        name = term["name"]
        seen[name] += 1
        terms[name if seen[name] == 1 else f"{name}_{seen[name]}"] = term["weight"], objective(term)

    def weighted(batch: Batch) -> Outcome:
        found = {name: (weight, term(batch)) for name, (weight, term) in terms.items()}
        loss = torch.stack([weight * outcome.loss for weight, outcome in found.values()]).sum()
        active = [outcome.active for _, outcome in found.values() if outcome.active is not None]
        return Outcome(
            loss,
            torch.stack(active).any(dim=0) if active else None,
            {name: outcome.loss.detach() for name, (_, outcome) in found.items()},
        )

    return weighted
