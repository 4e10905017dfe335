"""Prompts to token ids."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from ..errors import CheckpointError

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
PAD_ID, END_ID, UNKNOWN_ID = range(3)
"""The ids that umT5 gives to these."""

FILE_NAME = "tokenizer.json"

_STRAIGHT_QUOTES = str.maketrans("‘’‚‛“”„‟", "''''\"\"\"\"")


class Tokenizer:
    """A `tokenizers` pipeline that ends each prompt with `</s>` and cuts it to a number of tokens."""

    def __init__(self, pipeline: tokenizers.Tokenizer, text_len: int) -> None:
        """`text_len` counts the end-of-text token. `pipeline` is changed: truncation is set, padding removed."""
        pipeline.enable_truncation(text_len)
        pipeline.no_padding()
        self._pipeline = pipeline

    @classmethod
    def from_directory(cls, directory: str | Path, text_len: int) -> Tokenizer:
        """Reads `tokenizer.json`. Raises CheckpointError if there is none or it cannot be read."""
        path = Path(directory) / FILE_NAME
        if not path.is_file():
            found = ", ".join(sorted(file.name for file in path.parent.glob("*"))) or "nothing"
            raise CheckpointError(
                f"there is no tokenizer file {path}, the folder has {found}",
                hint="Fetch the checkpoint again; a spiece.model has to be converted to tokenizer.json first.",
            )
        text = path.read_text(encoding="utf-8", errors="replace")
        if not _is_pipeline(text):
            raise CheckpointError(f"{path} does not describe a tokenizer", hint="Fetch the checkpoint again.")
        return cls(tokenizers.Tokenizer.from_str(text), text_len)

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self._pipeline.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, prompt: str) -> list[int]:
        """At least one and at most `text_len` ids, the last of them that of `</s>`."""
        ids: list[int] = self._pipeline.encode(clean(prompt)).ids
        return ids


def _is_pipeline(text: str) -> bool:
    try:
        raw = json.loads(text)
    except json.JSONDecodeError:
        return False
    return isinstance(raw, dict) and isinstance(raw.get("model"), dict)


def clean(prompt: str) -> str:
    """The prompt as the reference reads it: HTML entities resolved (twice), straight quotes, single spaces."""
    return " ".join(html.unescape(html.unescape(prompt)).translate(_STRAIGHT_QUOTES).split())


def word_pipeline(words: Iterable[str]) -> tokenizers.Tokenizer:
    """A vocabulary of whole words, in lower case, with ids from 3 on in the order given; `save` writes it to a file.

    Punctuation marks are words of their own. Words that are not listed become `<unk>`.
    """
    vocabulary = {PAD: PAD_ID, END: END_ID, UNKNOWN: UNKNOWN_ID}
    for word in words:
        vocabulary.setdefault(word.lower(), len(vocabulary))
    pipeline = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    pipeline.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    pipeline.pre_tokenizer = pre_tokenizers.Whitespace()
    return _ending(pipeline)


def byte_pipeline() -> tokenizers.Tokenizer:
    """One token a byte of UTF-8, for models that have no vocabulary."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([PAD, END, UNKNOWN, *alphabet])}
    pipeline = tokenizers.Tokenizer(models.BPE(vocabulary, merges=[]))
    pipeline.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return _ending(pipeline)


def _ending(pipeline: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    pipeline.add_special_tokens([PAD, END, UNKNOWN])
    pipeline.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, END_ID)])
    return pipeline
