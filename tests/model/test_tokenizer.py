from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.errors import CheckpointError
from worldloom.model.tokenizer import END_ID, UNKNOWN_ID, Tokenizer, byte_pipeline, clean, word_pipeline

WORDS = ["stone", "hall", "night", ","]


def words(text_len: int = 16) -> Tokenizer:
    return Tokenizer(word_pipeline(WORDS), text_len)


def test_words_get_ids_in_the_order_given_and_the_prompt_an_end() -> None:
    assert words().encode("Stone hall, night") == [3, 4, 6, 5, END_ID]


def test_a_word_that_is_not_listed_is_unknown() -> None:
    assert words().encode("stone tower") == [3, UNKNOWN_ID, END_ID]


def test_repeated_words_count_once() -> None:
    assert Tokenizer(word_pipeline(["hall", "Hall", "stone"]), 8).vocab_size == 5


@given(prompt=st.text(max_size=60))
def test_any_prompt_ends_and_fits(prompt: str) -> None:
    for tokenizer in (words(8), Tokenizer(byte_pipeline(), 8)):
        ids = tokenizer.encode(prompt)
        assert 1 <= len(ids) <= 8
        assert ids[-1] == END_ID
        assert all(0 <= token < tokenizer.vocab_size for token in ids)


@given(first=st.text(max_size=20), second=st.text(max_size=20))
def test_bytes_tell_any_two_prompts_apart(first: str, second: str) -> None:
    tokenizer = Tokenizer(byte_pipeline(), 200)
    assert (tokenizer.encode(first) == tokenizer.encode(second)) == (clean(first) == clean(second))


def test_text_that_looks_like_a_special_token_does_not_end_a_prompt_early() -> None:
    ids = words().encode("stone </s> hall")
    assert ids[-1] == END_ID
    assert 4 in ids


def test_a_prompt_is_read_without_entities_curly_quotes_and_extra_space() -> None:
    assert clean("  a “stone”\n hall &amp;amp; a\tgate ") == 'a "stone" hall & a gate'


def test_a_saved_vocabulary_reads_back_the_same(tmp_path: Path) -> None:
    word_pipeline(WORDS).save(str(tmp_path / "tokenizer.json"))
    loaded = Tokenizer.from_directory(tmp_path, 16)
    assert loaded.encode("stone hall, by night") == words().encode("stone hall, by night")
    assert loaded.vocab_size == words().vocab_size


def test_saving_is_deterministic(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        word_pipeline(WORDS).save(str(tmp_path / name))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_folder_with_only_a_sentencepiece_model_is_refused_with_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"spiece\.model"):
        Tokenizer.from_directory(tmp_path, 16)


@pytest.mark.parametrize("content", ["{}", '{"model": ', "[]", ""])
def test_a_damaged_tokenizer_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match="does not describe a tokenizer"):
        Tokenizer.from_directory(tmp_path, 16)
