"""The published corpus file, with and without malice."""

import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch
from tiny_weights import save_pth

from langtrack_core.dmn.vocabulary import MAX_FILE_BYTES, Vocabulary
from langtrack_core.types import LangTrackError
from langtrack_lab.weights.add import add
from langtrack_lab.weights.corpus import read_vocabulary

GOLDEN = Path(__file__).parents[2] / "golden"
WORDS = ("the", "dog", "red", "car", "on", "left")
PUBLISHED = Vocabulary((*WORDS, "<unk>", "<pad>"), "published")


def test_a_text_file_is_read_as_well(tmp_path):
    path = tmp_path / "words.txt"
    for text in ("PK\nPKU\n", ".\nthe\n", "the\n."):  # they start or end like a zip or a pickle
        path.write_text(text)
        assert read_vocabulary(path).words == (*text.lower().split(), "<unk>", "<pad>")


def test_what_cannot_be_read_names_itself(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(LangTrackError, match="Cannot read the vocabulary") as caught:
            read_vocabulary(path)
        assert str(path) in str(caught.value)


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
    assert read_vocabulary(written(tmp_path, data)) == PUBLISHED


def test_published_corpus_as_pytorch_writes_it_now(tmp_path, corpus):
    assert read_vocabulary(written(tmp_path, torch_saved(corpus))) == PUBLISHED


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_published_corpus_as_a_plain_pickle(tmp_path, corpus, protocol):
    assert read_vocabulary(written(tmp_path, pickle.dumps(corpus, protocol))) == PUBLISHED


def test_published_corpus_with_many_words(tmp_path, corpus):
    words = [f"word{i}" for i in range(70_000)] + ["<unk>"]  # more than two bytes can number
    corpus.dictionary.idx2word = words
    corpus.dictionary.word2idx = {word: i for i, word in enumerate(words)}
    data = torch_saved(corpus, _use_new_zipfile_serialization=False)
    assert len(read_vocabulary(written(tmp_path, data))) == 70_001


def test_a_corpus_is_added_as_a_text_file(tmp_path, corpus, monkeypatch):
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path / "home"))
    words = [f"word{i}" for i in range(14)] + ["<unk>", "<pad>"]
    spoil(corpus, idx2word=words, word2idx={word: i for i, word in enumerate(words)})
    shapes = json.loads((GOLDEN / "dmn_small_keys.json").read_text())
    checkpoint = save_pth({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "dmn.pth")
    entry = add(str(checkpoint), vocabulary=written(tmp_path, pickle.dumps(corpus)))
    assert list(entry.files) == ["dmn.pth", "corpus.txt"]
    assert Vocabulary.from_file(entry.folder / "corpus.txt").words == tuple(words)
    spoil(corpus, idx2word=["Word", *words[1:]], word2idx={w: i for i, w in enumerate(["Word", *words[1:]])})
    with pytest.raises(LangTrackError, match="capitals"):
        add(str(checkpoint), vocabulary=written(tmp_path, pickle.dumps(corpus)))


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
        read_vocabulary(written(tmp_path, pickle.dumps(corpus)))


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
            read_vocabulary(written(tmp_path, pickle.dumps(value)))


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
        read_vocabulary(path)
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
