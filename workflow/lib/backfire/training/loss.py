"""The training objective: triplet loss on cosine similarity, evaluated in fp32."""

import torch
from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss
from torch import Tensor


class CosineTripletLoss(TripletLoss):
    """max(0, s(q, p-) - s(q, p+) + margin), s the cosine similarity, averaged over the batch.

    With `bf16` the transformer runs under autocast; pooling, normalisation and the loss are fp32 all the same,
    since bf16 keeps three digits of a cosine. `active` is the share of the last batch's triplets that still violate
    the margin. The library's own default is the Euclidean distance with margin 5, which unit vectors can never reach.
    """

    def __init__(self, model, margin: float, bf16: bool):
        super().__init__(model, distance_metric=TripletDistanceMetric.COSINE, triplet_margin=margin)
        self.bf16 = bf16
        self.active = float("nan")

    def forward(self, sentence_features, labels: Tensor) -> Tensor:
        """Mean loss of a batch of (query, positive, negative) columns; `labels` is unused."""
        return self.compute_loss_from_embeddings([self._embed(features) for features in sentence_features], labels)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """Mean loss from three tensors of shape (batch, dimensions)."""
        query, positive, negative = embeddings
        with torch.no_grad():
            violation = self.distance_metric(query, positive) - self.distance_metric(query, negative)
            self.active = (violation + self.triplet_margin > 0).float().mean().item()
        return super().compute_loss_from_embeddings(embeddings, labels)

    def _embed(self, features: dict[str, Tensor]) -> Tensor:
        transformer, *rest = self.model
        device = features["input_ids"].device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.bf16):
            output = transformer(features)
        output["token_embeddings"] = output["token_embeddings"].float()
        for module in rest:
            output = module(output)
        return output["sentence_embedding"]
