"""One optimiser step after another: gradients of a batch of examples, clipping, AdamW, the schedule."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from backfire.encoders.encoding import token_batches
from backfire.encoders.halving import free_gpu_memory
from backfire.encoders.similarity import COSINE, EUCLIDEAN
from backfire.encoders.tokens import Tokens, padded
from backfire.jobs.faults import lacks_gpu_memory
from backfire.keyed import key
from backfire.study.objectives import needs
from backfire.training.checkpoints import BUFFERS, State
from backfire.training.data import Examples, batches
from backfire.training.layers import Layers
from backfire.training.objectives.batch import Batch, Outcome, objective
from backfire.training.schedules import SCHEDULES
from backfire.training.trainable import Trainable

# Tokens that go through the network together: on a CPU what its caches hold.
BATCH_TOKENS = {"cpu": 2048, "cuda": 65536}
# Tokens of a batch whose activations are kept; with more, it is embedded twice. 4 GiB for MiniLM in fp32.
HELD_TOKENS = {"cpu": 16384, "cuda": 65536}
# A forward pass alone takes a third of the time of one with gradients, so looking first pays below this share.
LOOK_FIRST = 0.6
# Where parts of so many tokens do not fit a GPU, smaller ones would not help.
SMALLEST_PART = 512
_OPTIMISER = "optimiser/"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """What a step was: mean loss of the batch, learning rate, norm of the gradient before it was clipped (infinite
    where fp16 overflowed, so that no weight was changed), the share of the batch's examples that are active, None where
    the objective knows no such thing, and the terms of a loss that is a sum, by name."""

    loss: float
    learning_rate: float
    grad_norm: float
    active: float | None
    terms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Part:
    """Texts that go through the network together: which of the batch's parts, as what, and their places in it."""

    number: int
    kind: str
    places: np.ndarray


@dataclass(frozen=True)
class _Texts:
    """A batch by its distinct texts: their `rows` in the tokens, which of them are queries (`asked`), and the places of
    queries and passages among them; `known`, `base`, `guide` and `teacher` as in `Batch`."""

    rows: np.ndarray
    asked: np.ndarray
    queries: np.ndarray
    passages: np.ndarray
    known: np.ndarray
    base: np.ndarray | None
    guide: np.ndarray | None
    teacher: np.ndarray | None

    @classmethod
    def of(cls, examples: Examples, chosen: np.ndarray) -> "_Texts":
        """The batch of the `chosen` examples; texts in the order in which columns of the examples name them."""
        rows = examples.rows[chosen]
        distinct, first, inverse = np.unique(rows.T, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        texts, places = distinct[order], place[inverse.reshape(rows.T.shape)].T
        asked = np.zeros(len(texts), bool)
        asked[places[:, 0]] = True
        base, guide = (None if each is None else each[texts] for each in (examples.base, examples.guide))
        teacher = None if examples.teacher is None else examples.teacher[chosen]
        known = examples.known_among(rows[:, 0], texts)
        return cls(texts, asked, places[:, 0], places[:, 1:], known, base, guide, teacher)

    def of_vectors(self, vectors: Tensor, device: torch.device, moved: Tensor | None) -> Batch:
        """What the objective sees."""
        of = (self.queries, self.passages, self.known, self.base, self.guide, self.teacher)
        return Batch(vectors, *(None if each is None else torch.from_numpy(each).to(device) for each in of), moved)


@dataclass(frozen=True)
class Judged:
    """Of examples that are looked at: mean loss; accuracy, the share of negatives that are less similar to the query
    than the positive, by what the model is searched with; the share that is active, None where the objective knows no
    such thing; and the mean length of the passages' vectors as the model pools them."""

    loss: float
    accuracy: float
    active: float | None
    norm: float


class Diverged(Exception):
    """Numbers of a training are no longer finite; says where and which."""


class Stepper:
    """Trains a model by AdamW (Loshchilov and Hutter 2019) on batches of examples.

    The learning rate follows the schedule that is named (see `schedules`). Weight decay leaves out biases, the weights
    of normalisations, and the lengths that DoRA trains. `settings` is a variant's block of the configuration.

    In fp16 gradients are scaled up on their way through the network, so that small ones do not vanish (Micikevicius et
    al. 2018); where one overflows the step counts but changes no weight, and the scale is halved.

    A satisfied triplet has no gradient. While few are violated, a batch is embedded without gradients first,
    and the texts that have one a second time: the same sum with fewer terms that are zero.
    """

    def __init__(self, model: Trainable, settings: dict, steps: int, seed: int):
        self.model, self.steps, self.seed = model, steps, seed
        self.objective = objective(settings["loss"])
        self.max_norm = math.inf if settings["max_grad_norm"] is None else settings["max_grad_norm"]
        self.peak, self.warm_up = settings["learning_rate"], round(settings["warmup_ratio"] * steps)
        self.schedule = SCHEDULES[settings["schedule"]]
        self.weights = [weight for weight in model.network.parameters() if weight.requires_grad]
        # Where training starts, for an objective that holds on to it.
        self._start = [weight.detach().clone() for weight in self.weights] if needs(settings["loss"]).start else None
        self._part_tokens, self._held_tokens = BATCH_TOKENS[model.device.type], HELD_TOKENS[model.device.type]
        self.taken = 0
        self._active = 0.0
        decay = settings["weight_decay"]
        groups = [
            {"params": [weight for weight in self.weights if weight.ndim > 1], "weight_decay": decay},
            {"params": [weight for weight in self.weights if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW([group for group in groups if group["params"]], lr=self.peak, fused=True)
        self._scaler = torch.amp.GradScaler(model.device.type, enabled=model.half is torch.float16)
        for weight in self.weights:
            weight.grad = torch.zeros_like(weight)

    def step(self, examples: Examples, chosen: np.ndarray, layers: Layers | None = None) -> Step:
        """Take a step on a batch: the `chosen` ones of the examples, rows of them; `layers` are shown what it does.

        Raises `Diverged`, with the weights as they were, when loss or gradient is not finite.
        """
        self.model.network.train()
        outcome = self._fitting_gradients(examples, chosen)
        loss = outcome.loss.item()
        self._scaler.unscale_(self.optimiser)
        if layers is not None:
            layers.before()
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.max_norm).item()
        rate = self.learning_rate(self.taken)
        # Where the scale is large, an overflow is its fault.
        scaled = self._scaler.get_scale() > 1
        if scaled and not math.isfinite(norm):
            norm = math.inf
        if not math.isfinite(loss) or not (scaled or math.isfinite(norm)):
            raise Diverged(
                f"step {self.taken + 1}: loss {loss:.4g}, gradient norm {norm:.4g}, learning rate {rate:.4g}"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self._scaler.step(self.optimiser)
        self._scaler.update()
        if layers is not None:
            layers.after()
        self.optimiser.zero_grad(set_to_none=False)
        self.taken += 1
        active = None if outcome.active is None else outcome.active.float().mean().item()
        return Step(loss, rate, norm, active, {name: term.item() for name, term in outcome.terms.items()})

    @torch.no_grad()
    def judge(self, examples: Examples, batch_size: int) -> Judged:
        """Look at examples without training on them, in batches that are always the same.

        The model is as it is now, without dropout.
        """
        self.model.network.eval()
        loss = right = length = 0.0
        active: float | None = 0.0
        for chosen in batches(len(examples), batch_size, range(-(-len(examples) // batch_size)), self.seed):
            texts = _Texts.of(examples, chosen)
            with self._one_cast():
                vectors = self._vectors(examples.tokens, texts, self._parts(examples.tokens, texts))[0]
            batch = texts.of_vectors(vectors, self.model.device, self._moved())
            outcome = self.objective(batch)
            loss += len(chosen) * outcome.loss.item()
            active = None if outcome.active is None else active + outcome.active.float().sum().item()
            length += vectors[batch.passages].norm(dim=2).mean(dim=1).sum().item()
            if self.model.similarity == COSINE:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            queries, passages = vectors[batch.queries, None], vectors[batch.passages]
            if self.model.similarity == EUCLIDEAN:
                scores = -(queries - passages).norm(dim=2)
            else:
                scores = (queries * passages).sum(dim=2)
            right += (scores[:, :1] > scores[:, 1:]).float().mean(dim=1).sum().item()
        count = len(examples)
        return Judged(loss / count, right / count, None if active is None else active / count, length / count)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.schedule(self.peak, step, self.warm_up, self.steps)

    def state(self) -> State:
        """All that the next step depends on, beside the model's start, the settings and the seed; no copies.

        The learning rate and random numbers follow from the number of steps taken, and nothing is drawn between steps.
        """
        tensors = dict(self.tensors())
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"{_OPTIMISER}{index}/{name}": value for name, value in values.items()}
        return State(tensors, {"taken": self.taken, "active": self._active, "scaler": self._scaler.state_dict()})

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Go on from what `state` gave for the same model, settings and seed."""
        for name, tensor in self.tensors():
            tensor.copy_(state.tensors[name])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.tensors.items():
            if name.startswith(_OPTIMISER):
                index, part = name.removeprefix(_OPTIMISER).split("/")
                moments.setdefault(int(index), {})[part] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.taken, self._active = state.notes["taken"], state.notes["active"]
        self._scaler.load_state_dict(state.notes["scaler"])

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """What steps change in the network, by name."""
        for name, weight in self.model.network.named_parameters():
            if weight.requires_grad:
                yield f"weights/{name}", weight.detach()
        yield from ((f"{BUFFERS}{name}", buffer) for name, buffer in self.model.network.named_buffers())

    def _fitting_gradients(self, examples: Examples, chosen: np.ndarray) -> Outcome:
        """As `_gradients`, in smaller parts from here on where the memory of a GPU does not hold them."""
        while True:
            try:
                return self._gradients(examples, chosen)
            except Exception as error:
                if self._part_tokens <= SMALLEST_PART or not lacks_gpu_memory(error):
                    raise
            # Not within the handler: the traceback would keep alive what was computed so far.
            self._part_tokens, self._held_tokens = self._part_tokens // 2, self._held_tokens // 2
            logger.warning("the GPU's memory is spent; %d tokens go through it together now", self._part_tokens)
            self.optimiser.zero_grad(set_to_none=False)
            free_gpu_memory()

    def _gradients(self, examples: Examples, chosen: np.ndarray) -> Outcome:
        """Add the gradient of the mean loss of a batch to the weights; gives what the objective gave.

        The loss is taken on vectors that are cut off from the network, and its gradient sent back through the network
        part by part. So a batch may be embedded without gradients first (Gao et al. 2021, arXiv 2101.06983): where it
        is too large to keep what its gradient needs, and where most texts will turn out to have none.
        """
        batch = _Texts.of(examples, chosen)
        parts = self._parts(examples.tokens, batch)
        looked = not self._fits(examples.tokens, batch) or (self.model.repeatable and self._active < LOOK_FIRST)
        with self._one_cast():
            with torch.set_grad_enabled(not looked):
                vectors, held = self._vectors(examples.tokens, batch, parts)
            leaf, moved = vectors.requires_grad_(), self._moved()
            outcome = self.objective(batch.of_vectors(leaf, self.model.device, moved))
            outcome.loss.backward()
            touched = (leaf.grad != 0).any(dim=1).cpu().numpy()
            if self.model.passages is not None:
                touched &= batch.asked
            gradient = self._scaler.scale(leaf.grad)
            if not looked:
                # Part by part, so that they are added up in fp32 and not in the arithmetic of the transformer.
                for part, vectors in zip(parts, held, strict=True):
                    if vectors.requires_grad:
                        vectors.backward(gradient[part.places])
        if looked:
            self._again(examples.tokens, batch, parts, touched, gradient)
        if moved is not None:
            self._pull_back(self._scaler.scale(moved.grad).item())
        self._active = float(touched.mean())
        return outcome

    @torch.no_grad()
    def _moved(self) -> Tensor | None:
        """Half the squared distance from the start, a leaf; None where no objective takes it."""
        if self._start is None:
            return None
        squares = [(weight - start).square().sum() for weight, start in zip(self.weights, self._start, strict=True)]
        return (torch.stack(squares).sum() / 2).requires_grad_()

    @torch.no_grad()
    def _pull_back(self, slope: float) -> None:
        """Add the gradient of `slope` times `_moved`."""
        for weight, start in zip(self.weights, self._start, strict=True):
            weight.grad.add_(weight, alpha=slope).sub_(start, alpha=slope)

    def _again(self, tokens: Tokens, batch: "_Texts", parts: list["_Part"], touched: np.ndarray, gradient: Tensor):
        """Embed once more what has a gradient, and send it back."""
        if self.model.repeatable:
            parts = self._parts(tokens, batch, touched)
        for part in parts:
            # A model with dropout gives the same vectors again where the whole part is embedded after the same seed.
            if touched[part.places].any():
                with self._one_cast():
                    self._embed(tokens, batch, part).backward(gradient[part.places])

    def _fits(self, tokens: Tokens, batch: "_Texts") -> bool:
        """Whether all that the gradient of a batch needs may be in memory at once."""
        lengths = padded(tokens.starts[batch.rows + 1] - tokens.starts[batch.rows])
        return int(lengths.sum()) <= self._held_tokens

    def _vectors(self, tokens: Tokens, batch: "_Texts", parts: list["_Part"]) -> tuple[Tensor, list[Tensor]]:
        """Vectors (texts, dimensions) of all texts of a batch in their order, cut off from the network; and of each
        part, as the network gives them."""
        held = [self._embed(tokens, batch, part) for part in parts]
        joined = torch.cat([vectors.detach() for vectors in held])
        return joined[np.argsort(np.concatenate([part.places for part in parts]))], held

    def _embed(self, tokens: Tokens, batch: "_Texts", part: "_Part") -> Tensor:
        """Vectors of the texts of a part, (texts, dimensions)."""
        torch.manual_seed(key(self.seed, "dropout", self.taken, part.number))
        ids, mask = map(torch.from_numpy, tokens.padded(batch.rows[part.places]))
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        if self.model.passages is not None and part.kind == "document":
            with torch.no_grad():
                return self.model.passages.embed(ids, mask, part.kind)
        return self.model.embed(ids, mask, part.kind)

    def _parts(self, tokens: Tokens, batch: "_Texts", among: np.ndarray | None = None) -> list["_Part"]:
        """The texts of a batch in parts of like length, or those where `among` is true."""
        wanted = np.arange(len(batch.rows)) if among is None else np.flatnonzero(among)
        sides = [("document", wanted)]
        if self.model.sides_differ:
            # One that treats queries as it treats passages may take them together.
            asked = batch.asked[wanted]
            sides = [("query", wanted[asked]), ("document", wanted[~asked])]
        found, device = [], self.model.device.type
        for kind, places in sides:
            if not len(places):
                continue
            texts = batch.rows[places]
            lengths = padded(tokens.starts[texts + 1] - tokens.starts[texts])
            if device != "cpu":
                # What padding costs a GPU is less than what it costs to start kernels for each length.
                lengths[:] = lengths.max()
            for chosen in token_batches(lengths, self._part_tokens):
                found.append(_Part(len(found), kind, places[chosen]))
        return found

    def _one_cast(self):
        """Autocast keeps its copies of the weights until the outermost context ends; this one computes nothing."""
        return torch.autocast(self.model.device.type, enabled=False)
