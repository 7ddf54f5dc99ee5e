"""Tokenizers of every kind that models bring, trained in a moment on a few texts."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TRAINING_TEXTS = [
    "Information retrieval ranks passages by how well they answer a query.",
    "A dense retriever embeds queries and passages; a sparse one counts words.",
    "The capital of France is Paris, and that of Peru is Lima.",
    "Read a CSV file into a table, then sort its rows by the second column.",
    "Crème brûlée à la façon de Zoë, Müller trinkt Weißbier.",
    "def mean(values: list[float]) -> float: return sum(values) / len(values)",
    "Быстрая коричневая лиса прыгает. 東京は日本の首都です。",
    "12 apples cost $3.50; 7.25 % of 1,000,000 is 72,500.",
] * 4
LIMIT = 96
"""Tokens that the small models take at most."""
_SIZE = 400


def _fast(tokenizer: Tokenizer, **special):
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LIMIT, **special)


def wordpiece(lowercase: bool = True, first: str = "[CLS]", last: str = "[SEP]", pad: str = "[PAD]"):
    """As BERT's; MPNet has other names for its special tokens, and another order."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [pad, "[UNK]", first, last, "[MASK]"] if first == "[CLS]" else [first, pad, last, "[UNK]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=_SIZE, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TRAINING_TEXTS, trainer)
    tokenizer.post_processor = _around(tokenizer, first, last)
    return _fast(
        tokenizer,
        cls_token=first,
        sep_token=last,
        pad_token=pad,
        unk_token="[UNK]",
        mask_token="[MASK]",
        bos_token=first,
        eos_token=last,
    )


def byte_level(first: str | None = "<s>", last: str | None = "</s>", pad: str | None = "<pad>", **options):
    """BPE over bytes, as RoBERTa's, or without its first token as that of many decoders."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token in (first, pad, last, "<unk>", "<mask>") if token]
    trainer = trainers.BpeTrainer(
        vocab_size=_SIZE,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINING_TEXTS, trainer)
    tokenizer.post_processor = _around(tokenizer, first, last)
    named = {"cls_token": first, "bos_token": first, "eos_token": last, "sep_token": last, "pad_token": pad or last}
    return _fast(tokenizer, **{key: token for key, token in named.items() if token}, **options)


def unigram(first: str | None = "<s>", last: str | None = "</s>", special=("<s>", "<pad>", "</s>", "<unk>", "<mask>")):
    """As sentencepiece's: pieces with their probabilities, words begin with a mark."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=_SIZE, special_tokens=list(special), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING_TEXTS, trainer)
    tokenizer.post_processor = _around(tokenizer, first, last)
    named = {"bos_token": first, "cls_token": first, "eos_token": last, "sep_token": last, "mask_token": "<mask>"}
    named = {key: token for key, token in named.items() if token}
    return _fast(tokenizer, pad_token="<pad>", unk_token="<unk>", **named)


def characters(folder):
    """One that has no fast version: BERT for Japanese, split into characters."""
    from transformers import BertJapaneseTokenizer

    letters = sorted({letter for text in TRAINING_TEXTS for letter in text if not letter.isspace()})
    file = folder / "vocab.txt"
    file.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]), encoding="utf-8")
    return BertJapaneseTokenizer(
        str(file), word_tokenizer_type="basic", subword_tokenizer_type="character", model_max_length=LIMIT
    )


def _around(tokenizer: Tokenizer, first: str | None, last: str | None):
    present = [token for token in (first, last) if token]
    single = " ".join([*([first] if first else []), "$A", *([last] if last else [])])
    ids = [(token, tokenizer.token_to_id(token)) for token in present]
    return processors.TemplateProcessing(single=single, pair=f"{single} $B", special_tokens=ids)
