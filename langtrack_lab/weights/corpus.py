"""The words of a published DMN, from a text file or from the authors' own file, in which nothing is run.

The authors stored a corpus with ``torch.save`` in 2018: pickles one after another (magic number, format
version, machine, object, storage keys); since PyTorch 1.6 it is a zip with the object in data.pkl. The object
is a Corpus whose ``dictionary`` is a Dictionary with ``word2idx`` and ``idx2word``. Their module was
referit_loader, utils.word_utils or dmn_pytorch.utils.word_utils over time.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections import deque
from pathlib import Path
from typing import Any

from langtrack_core.dmn.vocabulary import MAX_FILE_BYTES, Vocabulary
from langtrack_core.types import LangTrackError, shorten

from ..safe_pickle import Refused, load_inert


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a text file, one word a line, or the pickled corpus of the authors.

    Raises:
        LangTrackError: the file cannot be read, or is neither; it is named.
    """
    if not is_pickled(path):
        return Vocabulary.from_file(path, "published")
    try:
        return Vocabulary(_published_words(path.read_bytes()), "published")
    except LangTrackError as error:
        raise LangTrackError(f"The vocabulary {path} cannot be used: {error}") from error


def is_pickled(path: Path) -> bool:
    """Whether a file is a pickle or a zip of one, rather than text, or nothing that can be read."""
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
    except OSError:
        return False
    if data[:1] == b"\x80" or data[:4] == b"PK\x03\x04":
        return True
    try:  # the oldest protocols have no mark; but their operations end just where the file does
        ((_, _, end),) = deque(pickletools.genops(data), maxlen=1)
    except ValueError:
        return False
    return end is not None and 0 < end == len(data.rstrip()) - 1


def _published_words(data: bytes) -> tuple[str, ...]:
    try:
        return _words_of(_unpickle_corpus(data))
    except Exception as error:  # hostile bytes can fail in any way; none of them may reach the user raw
        why = f"it wants {shorten(str(error))}" if isinstance(error, Refused) else type(error).__name__
        raise LangTrackError(
            f"it is not the published corpus ({why}); nothing in it was run. "
            "Give the word list as a text file instead, one word a line."
        ) from error


def _words_of(corpus: Any) -> tuple[str, ...]:
    """The checked words of the rebuilt object."""
    dictionary = vars(corpus).get("dictionary")
    if type(corpus).__name__ != "Corpus" or type(dictionary).__name__ != "Dictionary":
        raise Refused(f"to be a {type(corpus).__name__} without a Dictionary")
    words, ids = vars(dictionary).get("idx2word"), vars(dictionary).get("word2idx")
    if type(words) is not list or not all(type(word) is str for word in words):
        raise Refused("an idx2word that is no list of words")
    if ids != {word: i for i, word in enumerate(words)}:
        raise Refused("a word2idx that is not the reverse of idx2word")
    return tuple(words)


def _unpickle_corpus(data: bytes) -> Any:
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (name,) = [n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl"]
            with archive.open(name) as member:  # not .read(): a few bytes of zip can hold gigabytes
                data = member.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise Refused(f"more than {MAX_FILE_BYTES} bytes")
    stream = io.BytesIO(data)
    for _ in range(4):  # magic number, format version, machine, object; or the object at once
        value = load_inert(stream, ("Corpus", "Dictionary"))
        if type(value).__name__ == "Corpus":
            return value
    raise Refused(f"to be a {type(value).__name__}")
