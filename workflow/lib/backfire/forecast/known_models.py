"""Collections that published models are known to have been trained on, by what their cards say.

A model that has seen the very queries and passages has little to gain from them, and much of it to lose; and its own
result there is no result on text that it has not seen.
"""

import re

_MS_MARCO, _NQ, _HOTPOT, _FEVER, _SQUAD = "MS MARCO", "Natural Questions", "HotpotQA", "FEVER", "SQuAD"
_BILLION_PAIRS = (_MS_MARCO, _NQ, _SQUAD, "TriviaQA", "Quora", "GooAQ", "ELI5")
# By a pattern of the model's name; the first that fits counts.
MODELS = {
    r"all-(minilm|mpnet|distilroberta|roberta)": _BILLION_PAIRS,
    r"multi-qa-|gtr-t5": (_MS_MARCO, _NQ, "GooAQ", "Quora"),
    r"msmarco-|tas-b|contriever-msmarco|colbert|cocondenser|splade|simlm|spice": (_MS_MARCO,),
    r"ms-marco-": (_MS_MARCO,),
    r"(^|[/_-])(multilingual-)?e5-": (_MS_MARCO, _NQ, _SQUAD, _HOTPOT, _FEVER, "TriviaQA", "Quora"),
    r"bge-(small|base|large|m3)": (_MS_MARCO, _NQ, _HOTPOT, _FEVER, _SQUAD, "TriviaQA", "Quora"),
    r"gte-|nomic-embed|arctic-embed|mxbai-embed|granite-embedding|embeddinggemma|qwen3-embedding": (
        _MS_MARCO, _NQ, _HOTPOT, _FEVER,
    ),
}  # fmt: skip
# By a pattern of a collection's source, as ir_datasets names it.
COLLECTIONS = {
    r"msmarco-(passage|document|qna)|(^|/)msmarco": _MS_MARCO,
    r"(^|/)(dpr-w100/)?(natural-questions|nq)($|/)": _NQ,
    r"hotpotqa": _HOTPOT,
    r"fever": _FEVER,
    r"quora": "Quora",
    r"trivia-?qa": "TriviaQA",
    r"squad": _SQUAD,
}


def trained_on(model: str, source: str) -> str | None:
    """The data set that a collection of that source is and that a model of that name was trained on; None where neither
    is known to be so. A name says nothing for sure: a folder may be called anything."""
    data = next((name for pattern, name in COLLECTIONS.items() if re.search(pattern, source.lower())), None)
    sets = next((sets for pattern, sets in MODELS.items() if re.search(pattern, model.lower())), ())
    return data if data in sets else None
