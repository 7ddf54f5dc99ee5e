"""By which path each model was run, in words, from the certificates in the models' folders."""

from collections.abc import Mapping
from pathlib import Path

from backfire.encoders.similarity import COSINE, DOT, EUCLIDEAN, NAMES
from backfire.formats.certificates import Certificate, read_certificate
from backfire.report.numbers import names


def read_certificates(models: Mapping[tuple[str, int], str | Path]) -> dict[str, Certificate]:
    """The certificate of each variant, from the folders of its models by variant and seed.

    Of several seeds, the one that came least close to sentence-transformers. Raises `BackfireError` for a folder
    without a certificate.
    """
    found: dict[str, Certificate] = {}
    for (variant, _), folder in models.items():
        read = read_certificate(folder)
        if variant not in found or read.difference > found[variant].difference:
            found[variant] = read
    return found


def paths(certificates: Mapping[str, Certificate]) -> str:
    """A sentence for each path: which variants took it, why, and what proved it."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for variant, each in certificates.items():
        alike.setdefault((each.tokens, each.forward, each.why), []).append(variant)
    parts = []
    for variants in alike.values():
        farthest = max((certificates[variant] for variant in variants), key=lambda each: each.difference)
        parts.append(f"{names(variants)}: {farthest.words()}.")
    return " ".join(parts)


def similarities(certificates: Mapping[str, Certificate]) -> str:
    """How vectors are compared: what each model was made for."""
    by = {kind: [variant for variant, each in certificates.items() if each.similarity == kind] for kind in NAMES}
    kept = [kind for kind in (DOT, EUCLIDEAN) if by[kind]]
    if not kept:
        return "Vectors are scaled to unit length and compared by cosine similarity."
    one = len(kept) == 1 and not by[COSINE]
    told = names(NAMES[kind] if one else f"{NAMES[kind]} for {names(by[kind])}" for kind in kept)
    cosine = f"; for {names(by[COSINE])} by cosine similarity" if by[COSINE] else ""
    return f"Vectors keep their length and are compared as the model was made for, by {told}{cosine}."
