"""One model of two: queries through one transformer, passages through another."""

from pathlib import Path

from backfire.encoders.library import load_library_model


def save_both(queries: Path, passages: Path, output: Path) -> None:
    """Write a model to `output` that `SentenceTransformer` loads: `encode_query` is that of the folder `queries`,
    `encode_document`, and `encode` that is told no side, that of the folder `passages`.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Router

    asked, kept = load_library_model(queries), load_library_model(passages)
    sides = Router.for_query_document(list(asked), list(kept), default_route="document")
    both = SentenceTransformer(modules=[sides], prompts=asked.prompts, similarity_fn_name=asked.similarity_fn_name)
    both.save_pretrained(str(output), create_model_card=False, safe_serialization=True)
