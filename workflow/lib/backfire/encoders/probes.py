"""Texts on which two ways to run a model are compared: what tokenizers and models treat differently."""

_PLAIN = (
    "how do I read a csv file into a table",
    "Returns the mean of the values along the given axis.",
    "the capital of France is Paris, and that of Peru is Lima",
    "a",
    "word",
    "What is the difference between a list and a tuple in Python?",
    "12 apples cost $3.50; 7.25 % of 1,000,000 is 72,500",
    "e-mail me at first.last@example.org or see https://example.org/path?a=1&b=2#c",
    "def f(x: int = 0) -> list[int]:\n    return [x ** 2 for _ in range(10)]",
    "don't, won't, it's - they're; rock'n'roll",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "state-of-the-art (SOTA) results: BM25/ColBERT+T5_v1.1",
)
_WRITING = (
    "Crème brûlée à la façon de Zoë, señor Müller trinkt Weißbier für 3 €",
    "Cre\u0300me bru\u0302le\u0301e, with combining marks",
    "İstanbul'da IŞIK ve ılık çay",
    "ﬁne oﬃce ligatures, ½ ² ™ Ⅳ full width ＡＢＣ",
    "Ελληνικά κείμενα με τόνους, ΣΊΣΥΦΟΣ",
    "Быстрая коричневая лиса ёж",
    "東京は日本の首都です。検索エンジンの評価",
    "中文分词没有空格，检索模型怎么办？",
    "한국어 문장 하나",
    "نص عربي من اليمين إلى اليسار",
    "हिन्दी में एक वाक्य",
    "emoji 😀👩‍👩‍👧 and symbols ∑∫√∞ ≠ ≤",
    "x\u0303 zero\u200bwidth\u200djoiners and a soft\u00adhyphen",
)
_SHAPES = (
    "",
    " ",
    "\n",
    ".",
    "   leading and trailing space   ",
    "two  spaces\tand a tab\nand a line\r\nbreak",
    "[CLS] not a token [SEP] [MASK] [PAD] [UNK]",
    "<s> nor this </s> <mask> <pad> <unk> <|endoftext|>",
    "query: a text that begins like a prompt",
    "passage: and so does this one",
    "control \x00 characters \x07 inside",
    "repeated repeated repeated repeated repeated repeated",
)
_LONG = (
    "Information retrieval ranks passages by how well they answer a query. " * 12,
    "First of many: " + " ".join(f"item {number}" for number in range(160)) + " - the Last",
    "ÀÉÎÕÜ AND CAPITALS IN A LONG TEXT " * 25,
)

_CASED = [change(text) for change in (str.upper, str.title) for text in _PLAIN]

SHORT_TEXTS = list(dict.fromkeys([*_PLAIN, *_CASED, *_WRITING, *_SHAPES]))
"""Some sixty short texts: cased, accented, in several scripts, empty, with what looks like special tokens."""
LONG_TEXTS = list(_LONG)
"""Texts of more tokens than the length that they are cut at, whose beginning and end differ."""


def text_of_length(words: int) -> str:
    """A text of so many words, and at least as many tokens."""
    return " ".join(f"word{number % 97}" for number in range(words))
