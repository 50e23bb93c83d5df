"""Tokenisers, look-ups, bad expressions, and the published corpus file with and without malice."""

import io
import os
import pickle
import struct
import sys
import types
import zipfile

import pytest
import torch

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


def test_text_that_starts_like_a_zip_or_a_pickle_is_text(tmp_path):
    path = tmp_path / "words.txt"
    for text in ("PK\nPKU\n", ".\nthe\n", "the\n."):
        path.write_text(text)
        assert Vocabulary.from_file(path, "plain").words == tuple(text.lower().split())


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


# --- the published corpus ----------------------------------------------------------------------------------


@pytest.fixture
def published_classes(monkeypatch):
    """Stand-ins for the authors' module, there only while a file is being written."""
    module = types.ModuleType("dmn_pytorch.utils.word_utils")
    for name in ("Corpus", "Dictionary"):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    for part in ("dmn_pytorch", "dmn_pytorch.utils"):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def corpus(published_classes):
    corpus = published_classes.Corpus()
    corpus.dictionary = published_classes.Dictionary()
    corpus.dictionary.idx2word = list(PUBLISHED.words)
    corpus.dictionary.word2idx = dict(PUBLISHED.ids)
    corpus.max_len = -1
    return corpus


def written(tmp_path, data):
    path = tmp_path / "corpus.pth"
    path.write_bytes(data)
    return path


def torch_saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def test_published_corpus_as_pytorch_of_2018_wrote_it(tmp_path, corpus, monkeypatch):
    data = torch_saved(corpus, _use_new_zipfile_serialization=False)
    monkeypatch.delitem(sys.modules, "dmn_pytorch.utils.word_utils")
    assert Vocabulary.from_file(written(tmp_path, data)) == PUBLISHED


def test_published_corpus_as_pytorch_writes_it_now(tmp_path, corpus):
    assert Vocabulary.from_file(written(tmp_path, torch_saved(corpus))) == PUBLISHED


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_published_corpus_as_a_plain_pickle(tmp_path, corpus, protocol):
    assert Vocabulary.from_file(written(tmp_path, pickle.dumps(corpus, protocol))) == PUBLISHED


def test_published_corpus_with_many_words(tmp_path, corpus):
    words = [f"word{i}" for i in range(70_000)] + ["<unk>"]  # more than two bytes can number
    corpus.dictionary.idx2word = words
    corpus.dictionary.word2idx = {word: i for i, word in enumerate(words)}
    data = torch_saved(corpus, _use_new_zipfile_serialization=False)
    assert len(Vocabulary.from_file(written(tmp_path, data))) == 70_001


def spoil(corpus, **attributes):
    for name, value in attributes.items():
        setattr(corpus.dictionary, name, value)


@pytest.mark.parametrize(
    "attributes",
    [
        {"idx2word": None},
        {"idx2word": ["the", 3]},
        {"idx2word": {"the": 0}},
        {"word2idx": {}},
        {"word2idx": []},
        {"word2idx": {word: 0 for word in PUBLISHED.words}},
        {"idx2word": [*PUBLISHED.words, "the"]},
        {"idx2word": [], "word2idx": {}},
        {"idx2word": ["the"], "word2idx": {"the": 0}},  # no <unk>
    ],
)
def test_corpus_that_does_not_add_up_is_refused(tmp_path, corpus, attributes):
    spoil(corpus, **attributes)
    with pytest.raises(LangTrackError, match="cannot be used"):
        Vocabulary.from_file(written(tmp_path, pickle.dumps(corpus)))


def test_other_objects_are_refused(tmp_path, published_classes):
    for value in (
        published_classes.Dictionary(),
        published_classes.Corpus(),
        ["the"],
        {"the": 0},
        "the",
        None,
        7,
    ):
        with pytest.raises(LangTrackError, match="not the published corpus"):
            Vocabulary.from_file(written(tmp_path, pickle.dumps(value)))


# --- malice ------------------------------------------------------------------------------------------------


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks():
    """Files that would leave a file `trace`, or eat the machine, were they simply unpickled."""
    touch = Calls(os.system, "touch trace")
    for protocol in range(6):
        yield f"os.system, protocol {protocol}", pickle.dumps(touch, protocol)
    yield "eval", pickle.dumps(Calls(eval, "open('trace', 'w')"))
    yield "open", pickle.dumps(Calls(open, "trace", "w"))
    yield "inside a list", pickle.dumps(["the", touch])
    yield "torch.save, old", torch_saved(touch, _use_new_zipfile_serialization=False)
    yield "torch.save, new", torch_saved(touch)
    yield "a tensor", torch_saved(torch.zeros(3))
    yield "a tensor, old", torch_saved(torch.zeros(3), _use_new_zipfile_serialization=False)
    yield "INST", b"(S'touch trace'\nios\nsystem\n."
    yield "OBJ", b"\x80\x02(cos\nsystem\nX\x0b\x00\x00\x00touch traceo."
    # With harmless operations alone, for the second gate.
    yield "forbidden class", b"\x80\x02cos\nsystem\n)\x81."
    yield "forbidden class, protocol 4", b"\x80\x04\x8c\x02os\x8c\x06system\x93)\x81."
    yield "forbidden class, dotted", b"\x80\x04\x8c\x0aword_utils\x8c\x0fCorpus.__init__\x93."
    yield "dotted name", b"\x80\x04\x8c\x0aword_utils\x8c\x0fCorpus.__init__\x93)R."
    yield "module that runs on import", b"\x80\x02cantigravity\nCorpus\n)\x81."
    yield "class as object", b"\x80\x02cword_utils\nCorpus\n}X\x01\x00\x00\x00aK\x01sb."
    yield "extension registry", b"\x80\x02\x82\x01."
    yield "persistent id", b"\x80\x02X\x01\x00\x00\x00aQ."
    yield "memo bomb", b"\x80\x02}r\xff\xff\xff\x7f."
    yield "string longer than the file", b"\x80\x02X\xff\xff\xff\x7fabc."
    yield "bytes of 2**60", b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"."
    yield "frame of 2**60", b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}."
    nested = b"".join(b"(h%c" % i + b"h%ct" % i + b"q%c" % (i + 1) for i in range(60))
    yield "hash of a nested tuple", b"\x80\x02}(tq\x00" + nested + b"K\x01s."
    yield "deep nesting", b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    yield "a long integer", b"\x80\x02\x8b" + struct.pack("<I", 1_000_000) + b"\x7f" * 1_000_000 + b"."
    yield "cut short", pickle.dumps(["the"])[:-3]
    yield "noise", b"\x80\x02" + bytes(range(256))
    yield "nothing but a mark", b"\x80\x02"
    for label, members in (
        ("zip without an object", {"archive/version": b"3"}),
        ("zip bomb", {"archive/data.pkl": b"\x80\x02" + b"N0" * (MAX_FILE_BYTES // 2)}),
        ("zip of an attack", {"archive/data.pkl": pickle.dumps(touch)}),
        ("zip of two", {"a/data.pkl": pickle.dumps(touch), "b/data.pkl": pickle.dumps(touch)}),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        yield label, buffer.getvalue()
    yield "half a zip", buffer.getvalue()[:40]


ATTACKS = dict(attacks())


@pytest.mark.parametrize("label", ATTACKS)
def test_malicious_files_run_nothing(tmp_path, label, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    path = written(tmp_path, ATTACKS[label])
    with pytest.raises(LangTrackError, match="not the published corpus") as caught:
        Vocabulary.from_file(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == [path]
    assert "antigravity" not in sys.modules


def test_the_attacks_are_real(tmp_path, monkeypatch):
    """Plain unpickling runs them, so a test that passes says something."""
    for label in ("os.system, protocol 0", "os.system, protocol 4", "eval", "open", "INST", "OBJ"):
        folder = tmp_path / label.replace(" ", "_")
        folder.mkdir()
        monkeypatch.chdir(folder)
        pickle.loads(ATTACKS[label])
        assert (folder / "trace").exists(), label
