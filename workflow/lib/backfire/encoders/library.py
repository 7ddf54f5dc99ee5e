"""Models as sentence-transformers runs them: loaded whole and without code of their own, in fp32.

This is the path that a model takes whatever its files ask for, and what the faster ones are held against (see
`certificate`). Token ids are kept apart from the forward pass here as well, since they are made once for all variants.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backfire.encoders.folders import check_sums, read_settings, weight_files
from backfire.encoders.similarity import COSINE, NAMES
from backfire.encoders.tokens import Tokens, joined, tokens_of
from backfire.errors import BackfireError
from backfire.formats.weights import check_weights
from backfire.jobs.faults import explained

logger = logging.getLogger(__name__)

KINDS = ("query", "document")
# Texts are padded to the longest of so many while they are tokenised.
_AT_ONCE = 256


def load_library_model(folder: str | Path, device: torch.device | str = "cpu", attention: str | None = None):
    """The SentenceTransformer of a folder in evaluation mode, every weight in fp32 whatever it is stored in.

    `attention` is the implementation that transformers shall take. Raises `BackfireError` when the library cannot
    load the folder, when it has weights that the vectors depend on and the files lack, or when files hold weights of
    the model that it does not take.
    """
    quiet_transformers()
    from sentence_transformers import SentenceTransformer

    folder = Path(folder)
    options = {} if attention is None else {"attn_implementation": attention}
    model, reports = loaded_whole(SentenceTransformer, folder, device, options)
    for loaded, report in reports:
        with understood(folder, "run"):
            _refuse_missing(folder, model, loaded, report)
    return model


def loaded_whole(kind, folder: Path, device: torch.device | str, options: dict[str, Any], **more):
    """A model of the library's class `kind` in evaluation mode and fp32, and (model, report) of each that transformers
    loaded for it. Weights that are missing are in the reports; all else that is wrong is an error, as in
    `load_library_model`. `options` are handed on to transformers, `more` to the class."""
    check_sums(folder)
    # The library's errors do not say which file is damaged.
    for file in weight_files(folder):
        check_weights(file)
    for file in sorted(folder.rglob("*.json")):
        read_settings(file)
    # A weight of another shape is refused below, by name.
    options = {"use_safetensors": True, "dtype": torch.float32, "ignore_mismatched_sizes": True} | options
    with understood(folder, "load"), _loading() as reports:
        model = kind(
            str(folder),
            device=str(device),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs=options,
            **more,
        )
    for loaded, report in reports:
        _refuse_other_shapes(folder, report)
        _refuse_unexpected(folder, loaded, report)
    return model.float().eval(), reports


def quiet_transformers() -> None:
    """Send what transformers reports to the job's log instead of the terminal, and show no bars of its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.disable_default_handler()
    logging.enable_propagation()


@contextlib.contextmanager
def understood(folder: Path, action: str) -> Iterator[None]:
    """What the library raises while it does something with a model, as a `BackfireError` that names the model."""
    try:
        yield
    except BackfireError:
        raise
    # Whatever is wrong with a folder comes as any exception of three libraries.
    except Exception as error:
        if (refusal := explained(error, folder)) is not None:
            raise refusal from error
        # Some say in a second line what is wrong.
        said = " ".join(str(error).split())[:300]
        raise BackfireError(
            f"{folder}: sentence-transformers cannot {action} this model ({type(error).__name__}: {said}).",
            "try SentenceTransformer(folder).encode_query(['a text']) on it; where that fails too, the folder is not "
            "whole, or it needs a package or another version. The traceback is in this job's log.",
        ) from error


def transformers_of(model) -> list:
    """The Transformer modules of a SentenceTransformer: one, or one for each side where queries have their own."""
    from sentence_transformers.sentence_transformer.modules import Transformer

    return [module for module in model.modules() if isinstance(module, Transformer)]


def sides_differ(model) -> bool:
    """Whether queries and passages with the same token ids may get different vectors."""
    return any(_by_task(module) for module in model) or any(_prompt_lengths(model).values())


class LibraryTokenizer:
    """Token ids as a model's own preprocessing gives them; the interface is that of `ModelTokenizer`."""

    def __init__(self, model, limit: int | None):
        """`limit`: tokens that the model takes at most."""
        self._model, self._limit = model, limit

    @property
    def vocabulary_size(self) -> int:
        """Number of different tokens."""
        return len(self._model.tokenizer)

    def tokenize(self, texts: Sequence[str], kind: str, max_length: int) -> Tokens:
        """Token ids of each text, cut as the model cuts, with its prompt for `kind` (query or document)."""
        if self._limit is not None and max_length > self._limit:
            raise BackfireError(
                f"max_length: {max_length} tokens, but this model takes at most {self._limit}.",
                "lower encoding.max_length or the variant's max_length.",
            )
        pieces = []
        with cut_at(self._model, max_length):
            for start in range(0, len(texts), _AT_ONCE):
                pieces.append(tokens_of(_ids(self._model, list(texts[start : start + _AT_ONCE]), kind, max_length)))
        return joined(pieces)


def library_forward(model, unit: bool = True) -> Callable[[Tensor, Tensor, str], Tensor]:
    """The forward pass of a loaded SentenceTransformer, of ids and mask, (batch, length) int64, and a kind of text.

    Without `unit` what scales vectors to unit length at a model's end, or at that of a side's own modules, is left out.
    """
    left_out = [] if unit else _last_scalings(model)
    lengths = _prompt_lengths(model)
    static = type(model[0]).__name__ == "StaticEmbedding"

    def forward(ids: Tensor, mask: Tensor, kind: str) -> Tensor:
        features: dict[str, Any]
        if static:
            counts = mask.sum(dim=1)
            features = {"input_ids": ids[mask.bool()], "offsets": counts.cumsum(0) - counts}
        else:
            # Some models take their positions from the padding.
            padding = getattr(model.tokenizer, "pad_token_id", None) or 0
            features = {"input_ids": ids.masked_fill(mask == 0, padding), "attention_mask": mask, "modality": "text"}
        if lengths[kind]:
            features["prompt_length"] = lengths[kind]
        with _without(left_out):
            vectors = model(features, task=kind)["sentence_embedding"]
        return vectors if model.truncate_dim is None else vectors[:, : model.truncate_dim]

    return forward


def _last_scalings(modules: nn.Sequential) -> list[tuple[nn.Sequential, str]]:
    """Where Normalize modules come last, on either side: the modules that they end and their names, last first."""
    found = []
    for name, module in reversed(list(modules.named_children())):
        if _by_task(module):
            found += [place for side in module.sub_modules.values() for place in _last_scalings(side)]
        if type(module).__name__ != "Normalize" or module.module_input_name != module.module_output_name:
            break
        found.append((modules, name))
    return found


@contextlib.contextmanager
def _without(places: list[tuple[nn.Sequential, str]]) -> Iterator[None]:
    """Take modules out from the ends that `_last_scalings` found while the body runs."""
    kept = [(modules, name, modules._modules.pop(name)) for modules, name in places]
    try:
        yield
    finally:
        for modules, name, module in reversed(kept):
            modules._modules[name] = module


def narrow_products(model, dtype: torch.dtype) -> None:
    """Let the transformers of a loaded model multiply in `dtype`, for inference; norms and sums stay in fp32.

    Weights of linear layers are stored so, and autocast brings their inputs along. What lies behind the transformers
    is computed in fp32.
    """
    if dtype == torch.float32:
        return
    for transformer in transformers_of(model):
        for layer in transformer.modules():
            if isinstance(layer, nn.Linear):
                for parameter in layer.parameters(recurse=False):
                    parameter.data = parameter.data.to(dtype)
        autocast(transformer, dtype)


def autocast(transformer, dtype: torch.dtype) -> None:
    """Run the forward pass of a Transformer module under autocast; what it gives to the next module is fp32."""
    plain = transformer.forward

    def forward(features: dict, *arguments, **options) -> dict:
        with torch.autocast(features["input_ids"].device.type, dtype):
            output = plain(features, *arguments, **options)
        output["token_embeddings"] = output["token_embeddings"].float()
        return output

    transformer.forward = forward


def own_similarity(folder: Path, model) -> str:
    """What a model was made to be compared by: a name of `encoders.similarity`.

    Where its last module scales to unit length the four that sentence-transformers knows give one order. Raises
    `BackfireError` for the sum of differences (manhattan) between vectors of other lengths.
    """
    named = str(model.similarity_fn_name or COSINE)
    if named == COSINE or (type(model[-1]).__name__ == "Normalize" and model.truncate_dim is None):
        return COSINE
    if named in NAMES:
        return named
    raise BackfireError(
        f"{folder}: similarity_fn_name says that this model is made for '{named}' distances between vectors of any "
        "length.",
        "Backfire ranks by cosine similarity, dot product or Euclidean distance: set similarity to one of cosine, dot "
        "and euclidean (variants.base.similarity, or that of the variant), or add a Normalize module.",
    )


def _ids(model, texts: list[str], kind: str, max_length: int) -> list[list[int]]:
    features = model.preprocess(texts, prompt=_prompt(model, kind), task=kind)
    if "input_ids" not in features:
        raise BackfireError(
            f"the first module of this model ({type(model[0]).__name__}) makes no token ids.",
            "choose a model whose first module is a Transformer, a Router of them, or a StaticEmbedding.",
        )
    ids = features["input_ids"]
    if "offsets" in features:
        bounds = [*features["offsets"].tolist(), len(ids)]
        return [ids[start : min(end, start + max_length)].tolist() for start, end in pairwise(bounds)]
    mask = features["attention_mask"].bool()
    return [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)]


def _prompt(model, kind: str) -> str | None:
    """The prompt that `encode_query` or `encode_document` would take; read off those methods of the library."""
    names = ("query",) if kind == "query" else ("document", "passage", "corpus")
    name = next((name for name in names if name in model.prompts), None)
    return model._resolve_prompt(None, name)


def _prompt_lengths(model) -> dict[str, int]:
    """{kind: tokens of its prompt} where pooling leaves them out, else 0."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    left_out = any(isinstance(module, Pooling) and not module.include_prompt for module in model.modules())
    lengths = {}
    for kind in KINDS:
        prompt = _prompt(model, kind)
        features = model.preprocess(["text"], prompt=prompt, task=kind) if prompt and left_out else {}
        lengths[kind] = int(features.get("prompt_length") or 0)
    return lengths


def _by_task(module) -> bool:
    return type(module).__name__ == "Router"


@contextlib.contextmanager
def cut_at(model, max_length: int) -> Iterator[None]:
    """Let every transformer of the model cut at `max_length`, or where a side has a smaller length of its own."""
    names = ("max_seq_length", "query_length", "document_length")
    before = []
    for module in transformers_of(model):
        before.append((module, [getattr(module, name, None) for name in names]))
        module.max_seq_length = max_length
        for name in names[1:]:
            if getattr(module, name, None) is not None:
                setattr(module, name, min(max_length, getattr(module, name)))
    try:
        yield
    finally:
        for module, values in before:
            for name, value in zip(names, values, strict=True):
                if value is not None:
                    setattr(module, name, value)


@contextlib.contextmanager
def _loading() -> Iterator[list[tuple[Any, dict]]]:
    """While the body runs, every model that transformers loads is noted, with its report of missing weights.

    sentence-transformers does not hand on `output_loading_info`, the documented way to that report.
    """
    from transformers import PreTrainedModel

    original = PreTrainedModel.__dict__["from_pretrained"]
    found: list[tuple[Any, dict]] = []

    def from_pretrained(cls, *arguments, **options):
        model, report = original.__get__(None, cls)(*arguments, **options | {"output_loading_info": True})
        found.append((model, report))
        return model

    PreTrainedModel.from_pretrained = classmethod(from_pretrained)
    try:
        yield found
    finally:
        PreTrainedModel.from_pretrained = original


def _refuse_other_shapes(folder: Path, report: dict) -> None:
    """Weights that do not fit into the model that config.json describes; sentence-transformers loads none of these."""
    if others := sorted(report.get("mismatched_keys") or []):
        name, stored, wanted = others[0]
        raise BackfireError(
            f"{folder}: the weight {name} is {tuple(stored)}, the model of config.json has it {tuple(wanted)} "
            f"({len(others)} such weights).",
            "config.json and weights belong to different models; give a folder that save_pretrained wrote.",
        )


def _refuse_unexpected(folder: Path, loaded, report: dict) -> None:
    """Weights in the files that belong to the model and are not taken; heads of other tasks are none of its own."""
    unexpected = sorted(report.get("unexpected_keys") or [])
    own = {name.split(".")[0] for name, _ in loaded.named_parameters()} | {loaded.base_model_prefix}
    # A task's head stands beside the model; a layer of the model that is not taken stands within it.
    foreign = [name for name in unexpected if name.split(".")[0] in own]
    if foreign:
        raise BackfireError(
            f"{folder}: the weights hold {foreign[0]}, which the model of config.json does not have "
            f"({len(foreign)} such weights).",
            "config.json and weights belong to different models, or to a class that needs code of its own, which is "
            "never run; give a folder that save_pretrained wrote.",
        )
    if unexpected:
        logger.info("%s: %d weights of other tasks are left out (%s ...)", folder, len(unexpected), unexpected[0])


def _refuse_missing(folder: Path, model, loaded, report: dict) -> None:
    """Weights that were drawn anew, unless the vectors do not depend on them (as on a pooler that nothing reads)."""
    drawn = [name for name in sorted(report.get("missing_keys") or []) if _matters(model, loaded, name)]
    if drawn:
        raise BackfireError(
            f"{folder}: the weights lack {drawn[0]}, which would be drawn at random ({len(drawn)} are missing).",
            "the weights are not those that config.json describes, or the model needs code of its own, which is never "
            "run; give a folder that save_pretrained wrote.",
        )


@torch.no_grad()
def _matters(model, loaded, name: str) -> bool:
    """Whether the vectors of a loaded model depend on one of its weights: tried by changing it."""
    known = dict(loaded.named_parameters()) | dict(loaded.named_buffers())
    weight = known.get(name)
    if weight is None:
        return True
    forward, vectors = library_forward(model), []
    kept = weight.clone()
    for change in (0.0, 1.0):
        weight.copy_(kept + change * (1 + torch.rand_like(kept, dtype=torch.float32).to(kept.dtype)))
        for kind in KINDS:
            ids, mask = tokens_of(_ids(model, ["a text", "another, longer text"], kind, 64)).padded([0, 1])
            vectors.append(forward(torch.from_numpy(ids), torch.from_numpy(mask), kind))
    weight.copy_(kept)
    return not (torch.equal(vectors[0], vectors[2]) and torch.equal(vectors[1], vectors[3]))
