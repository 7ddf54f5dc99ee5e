"""The note in a model's folder that says by which path it is run, and what proved it (see `encoders.certificate`)."""

from dataclasses import asdict, dataclass
from pathlib import Path

from backfire.formats.atomic import read_json, write_json

CERTIFICATE = "certificate.json"


@dataclass(frozen=True)
class Certificate:
    """How a model is run.

    `tokens`: `fast` (the Rust tokenizer alone) or `library`. `forward`: `bert`, `static` or `library`. `why` says what
    kept the model off a faster path, empty where nothing did. `difference` is the largest between entries of a vector
    and the library's, over its length. `similarity` is `cosine` or `dot`; `limit` the most tokens of a text, None where
    there is no limit; `texts` how many were compared; `files` a digest of the model's files.
    """

    tokens: str
    forward: str
    why: str
    similarity: str
    limit: int | None
    texts: int
    difference: float
    files: str
    versions: dict[str, str]

    def words(self) -> str:
        """One sentence for the log and the report."""
        proof = f"vectors of {self.texts} texts within {self.difference:.1e} of sentence-transformers"
        if self.why:
            return f"run by sentence-transformers itself where {self.why}; {proof}"
        return f"run by Backfire's own path; {proof}"


def write_certificate(folder: str | Path, certificate: Certificate) -> None:
    """Write a certificate into the folder of its model."""
    write_json(Path(folder) / CERTIFICATE, asdict(certificate))


def read_certificate(folder: str | Path) -> Certificate:
    """The certificate in a model's folder. Raises `BackfireError` when there is none, or not as it was written."""
    return Certificate(**read_json(Path(folder) / CERTIFICATE))
