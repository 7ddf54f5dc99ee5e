"""Every statistic of an embedding space: its name, unit, heading and meaning, in the order in which they are told."""

from dataclasses import dataclass

NEIGHBOURS = 10
"""Nearest passages that are compared with base's, and that queries are counted at."""


@dataclass(frozen=True)
class Statistic:
    """`sampled`: taken over a sample of the passages, else over all. `against_base`: base has none of its own."""

    unit: str
    heading: str
    meaning: str
    sampled: bool = True
    against_base: bool = False


STATISTICS = {
    "mean_cosine": Statistic(
        "cosine",
        "Mean cosine",
        "How alike two passages picked at random look to the model; near 1, all passages crowd into one corner and "
        "are hard to tell apart (anisotropy, Ethayarajh 2019).",
        sampled=False,
    ),
    "participation_ratio": Statistic(
        "dimensions",
        "Participation ratio",
        "In how many directions of the space the passages really spread, large directions counting most; a fall means "
        "that the space has flattened (Gao et al. 2017).",
        sampled=False,
    ),
    "participation_ratio_change": Statistic(
        "dimensions",
        "Change of the participation ratio",
        "The participation ratio less base's, on the same passages, as it would be over any number of such passages.",
        sampled=False,
        against_base=True,
    ),
    "participation_ratio_change_se": Statistic(
        "dimensions",
        "Its standard error",
        "How much that change would differ with other passages of the same kind (jackknife, leaving out one of 20 "
        "groups of passages at a time).",
        sampled=False,
        against_base=True,
    ),
    "isoscore": Statistic(
        "share",
        "IsoScore",
        "The participation ratio as a share of the dimensions that there are: 0 on a line, 1 where every direction is "
        "used alike (Rudman et al. 2022).",
        sampled=False,
    ),
    "effective_rank": Statistic(
        "dimensions",
        "Effective rank",
        "The question of the participation ratio with small directions counting more; always at least as large (Roy "
        "and Vetterli 2007).",
        sampled=False,
    ),
    "rankme": Statistic(
        "dimensions",
        "RankMe",
        "The same with still more weight on small directions, and with the mean left in (Garrido et al. 2023).",
        sampled=False,
    ),
    "spectral_slope": Statistic(
        "exponent",
        "Spectral slope",
        "The variance of the direction of rank r falls about as r to minus this; steeper is flatter (Agrawal et al. "
        "2022).",
        sampled=False,
    ),
    "raw_norm": Statistic(
        "length",
        "Length before normalisation",
        "How long a passage's vector is before any scaling to length 1, on average. Cosine ignores it, but a loss on "
        "raw vectors can fall by growth alone: the distances of two passages to a query differ by no more than the sum "
        "of their lengths.",
        sampled=False,
    ),
    "raw_norm_variation": Statistic(
        "share",
        "Its coefficient of variation",
        "How much that length differs between passages: its standard deviation as a share of its mean; 0 where all are "
        "equally long.",
        sampled=False,
    ),
    "uniformity": Statistic(
        "log",
        "Uniformity",
        "How evenly passages cover the sphere; 0 when they all coincide, about \N{MINUS SIGN}4 when they spread "
        "evenly, so lower is more even (Wang and Isola 2020).",
    ),
    "alignment": Statistic(
        "squared distance",
        "Alignment",
        "Mean squared distance from a query to a passage judged relevant to it; lower is closer (Wang and Isola 2020).",
    ),
    "relevant_cosine": Statistic(
        "cosine", "Relevant cosine", "How alike a query and its relevant passage look to the model."
    ),
    "random_cosine": Statistic(
        "cosine", "Random cosine", "How alike a query and any passage of the corpus look to the model."
    ),
    "margin": Statistic(
        "cosine",
        "Margin",
        "Relevant cosine less random cosine: how far a relevant passage stands out from the corpus, which is what "
        "ranking lives on.",
    ),
    "hardest_margin": Statistic(
        "cosine",
        "Margin to the best wrong passage",
        "Relevant cosine less that of the nearest sampled passage that is not judged relevant; below 0 a wrong passage "
        "is before the answer.",
    ),
    "hubness": Statistic(
        "skewness",
        "Hubness",
        f"How unevenly passages come up among the {NEIGHBOURS} nearest of the queries: the skewness of their counts; "
        "high where a few passages are near everything (Radovanović et al. 2010).",
    ),
    "antihubs": Statistic(
        "share",
        "Anti-hubs",
        f"The share of sampled passages that are among the {NEIGHBOURS} nearest of no query.",
    ),
    "base_cosine": Statistic(
        "cosine",
        "Cosine to base",
        "How alike a passage's vector and its vector under base are, on average; 1 is a model that has not moved.",
        against_base=True,
    ),
    "neighbours_kept": Statistic(
        "share",
        "Neighbours kept",
        f"The share of a passage's {NEIGHBOURS} nearest passages under base that are still among its nearest; 1 is a "
        "space in which nobody has changed places.",
        against_base=True,
    ),
    "cka": Statistic(
        "share",
        "CKA with base",
        "How alike the two spaces are up to turning and scaling, large directions counting most; 1 is the same space "
        "(linear CKA, Kornblith et al. 2019).",
        sampled=False,
        against_base=True,
    ),
    "procrustes": Statistic(
        "share",
        "Procrustes residual",
        "What is left of the space's variance after it was turned and scaled to fit base's as well as it can: turning "
        "harms no ranking, this does.",
        sampled=False,
        against_base=True,
    ),
    "sampled_passages": Statistic("count", "Sampled passages", ""),
    "judged_pairs": Statistic("count", "Judged pairs", ""),
}
"""By name; the two counts are sizes of what the others were taken over."""
