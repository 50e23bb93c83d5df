"""Tokenisers, look-ups, bad expressions, and vocabulary files."""

import pytest

from langtrack_core.dmn.vocabulary import MAX_FILE_BYTES, Vocabulary, plain_tokens, published_tokens
from langtrack_core.types import LangTrackError

WORDS = ("the", "dog", "red", "car", "on", "left")
PUBLISHED = Vocabulary((*WORDS, "<unk>", "<pad>"), "published")
PLAIN = Vocabulary(WORDS, "plain")


# --- tokenisers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("the dog", ["the", " ", "dog"]),
        ("  The DOG.  ", ["the", " ", "dog"]),
        ("dog, left", ["dog", ", ", "left"]),
        ("dog!.", ["dog", "!."]),  # only a last token that is "." alone goes
        ("dog . ", ["dog", " ."]),
        ("a_b c-d", ["a_b", " ", "c", "-", "d"]),
        ("...", ["..."]),
        (".", []),
        ("", []),
    ],
)
def test_published_tokens_keep_their_separators(text, tokens):
    assert published_tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The DOG.", ["the", "dog"]),
        ("dark-red car, no. 7", ["dark", "red", "car", "no", "7"]),
        ("the dog\u2019s 'ball'", ["the", "dog's", "ball"]),
        ("a_b/c", ["a", "b", "c"]),
        ("\u0915\u0941\u0924\u094d\u0924\u093e 狗", ["\u0915\u0941\u0924\u094d\u0924\u093e", "狗"]),
        ("'' - !", []),
    ],
)
def test_plain_tokens_are_words_alone(text, tokens):
    assert plain_tokens(text) == tokens


# --- look-up -----------------------------------------------------------------------------------------------


def test_published_blanks_and_unknown_words_are_unk():
    read = PUBLISHED.read("The striped dog, striped.")
    unk = 6
    assert read.ids == (0, unk, unk, unk, 1, unk, unk)
    assert read.words == ("the", "striped", "dog", "striped")
    assert read.unknown == ("striped",)


def test_plain_leaves_unknown_words_out_unless_there_is_an_unk():
    assert PLAIN.read("the striped dog").ids == (0, 1)
    assert PLAIN.read("the striped dog").unknown == ("striped",)
    assert Vocabulary((*WORDS, "<unk>"), "plain").read("the striped dog").ids == (0, 6, 1)


def test_plain_possessive_falls_back_to_the_noun():
    assert PLAIN.read("the dog's car").ids == (0, 1, 3)
    assert PLAIN.read("the dog's car").unknown == ()


@pytest.mark.parametrize("vocabulary", [PUBLISHED, PLAIN], ids=["published", "plain"])
def test_compatibility_characters_are_normalised(vocabulary):
    assert vocabulary.read("ｄｏｇ").ids == (1,)
    assert vocabulary.read("the\u00a0dog").words == ("the", "dog")


# --- bad expressions ---------------------------------------------------------------------------------------

both_styles = pytest.mark.parametrize("vocabulary", [PUBLISHED, PLAIN], ids=["published", "plain"])


@both_styles
@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        (" \t\n\u3000", "is empty"),
        ("?!...", "no words"),
        ("_ _", "no words"),
        ("🐶🐶", "no words"),
        ("\x00\x1b[31m", "None of the words"),  # "31m" is a word
        ("xyzzy plugh xyzzy", r"None of the words is known \(xyzzy, plugh\)"),
        ("狗", "None of the words is known"),
        ("الكلب الأحمر", "None of the words is known"),
        ("\u0915\u0941\u0924\u094d\u0924\u093e", "None of the words is known"),
        ("\ud800", "no words"),
        ("dog " * 500, "at most 500 characters, but this one has 2000"),
        ("\ufdfa" * 100, "at most 500 characters, but this one has 1800"),
    ],
)
def test_an_expression_without_a_known_word_is_refused_in_one_sentence(vocabulary, text, match):
    with pytest.raises(LangTrackError, match=match) as caught:
        vocabulary.read(text)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 250


@both_styles
def test_500_characters_are_allowed(vocabulary):
    assert vocabulary.read("dog " * 125).words == ("dog",) * 125


@both_styles
def test_other_scripts_beside_known_words_are_reported(vocabulary):
    assert vocabulary.read("the 狗 dog").unknown == ("狗",)


# --- vocabularies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("",), ("dog", "dog")])
def test_vocabulary_needs_words_each_once(words):
    with pytest.raises(LangTrackError):
        Vocabulary(words, "plain")


def test_published_vocabulary_needs_unk():
    with pytest.raises(LangTrackError, match="<unk>"):
        Vocabulary(WORDS, "published")


def test_unknown_style_is_refused():
    with pytest.raises(ValueError, match="style"):
        Vocabulary(WORDS, "other")


def test_text_file_gives_ids_in_order_of_appearance(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffThe\r\n\r\n dog \r\nthe\r\n<unk>\r\nné\r\n".encode())
    assert Vocabulary.from_file(path, "plain").words == ("the", "dog", "<unk>", "né")
    assert Vocabulary.from_file(path, "published").words == ("the", "dog", "<unk>", "né", "<pad>")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "at least one word"),
        (b" \n\n", "at least one word"),
        (b"caf\xe9\n", "not UTF-8"),
        (b"dog\0\n", "zero bytes"),
        (b"a\n" * (MAX_FILE_BYTES // 2 + 1), "expected at most"),
    ],
)
def test_bad_text_files_name_themselves(tmp_path, data, match):
    path = tmp_path / "words.txt"
    path.write_bytes(data)
    for style in ("plain", "published"):
        with pytest.raises(LangTrackError, match=match) as caught:
            Vocabulary.from_file(path, style)
        assert str(path) in str(caught.value)


def test_missing_file_and_folder_name_themselves(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(LangTrackError, match="Cannot read the vocabulary") as caught:
            Vocabulary.from_file(path)
        assert str(path) in str(caught.value)
