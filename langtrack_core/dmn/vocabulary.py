"""Expressions to word ids: the two tokenisers, and the vocabulary.

>>> Vocabulary(("the", "dog", "<unk>"), style="plain").read("The striped dog!").unknown
('striped',)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from ..types import LangTrackError, UnreadableText, normalised_text, shorten

UNKNOWN = "<unk>"
"""The published vocabularies' word for one that they do not have."""
PADDING = "<pad>"
"""The published vocabularies' word for none."""

MAX_FILE_BYTES = 8 * 2**20
"""Largest vocabulary file; the published ones, of about ten thousand words, stay below 1 MB."""

Style = Literal["published", "plain"]


def published_tokens(text: str) -> list[str]:
    """DMN's tokens: split at runs of non-word characters, **which stay as tokens**, lower case, no final ".".

    So every blank is a token of its own, one that no vocabulary has. Released weights were trained so.

    >>> published_tokens("The dog's ball.")
    ['the', ' ', 'dog', "'", 's', ' ', 'ball']
    """
    tokens = [token.lower() for token in re.split(r"(\W+)", text.strip()) if token]
    return tokens[:-1] if tokens and tokens[-1] == "." else tokens


def plain_tokens(text: str) -> list[str]:
    """Words of letters, digits and inner apostrophes, lower case; everything else, hyphens too, separates.

    >>> plain_tokens("The dark-red dog's ball.")
    ['the', 'dark', 'red', "dog's", 'ball']
    """
    text = text.lower().replace("\u2019", "'")  # the typographic apostrophe
    # Combining marks (M) belong to the letter before them; a regular expression's \w leaves most of them out.
    spaced = "".join(c if c == "'" or unicodedata.category(c)[0] in "LNM" else " " for c in text)
    return [word for word in (part.strip("'") for part in spaced.split()) if word]


class WordIds(NamedTuple):
    """An expression as the network takes it.

    Attributes:
        ids: what the network reads, never empty; with the published style one for each separator too.
        words: the words in order, without separators.
        unknown: those that the vocabulary does not have, each once, in order.
    """

    ids: tuple[int, ...]
    words: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Vocabulary:
    """Words and their ids.

    Attributes:
        words: a word's id is its place; lower case, each once.
        style: "published" for DMN's tokeniser, which needs ``<unk>``; "plain" for words alone, where an
            unknown word becomes ``<unk>`` if the vocabulary has it and is left out if not.
    """

    words: tuple[str, ...]
    style: Style

    def __post_init__(self) -> None:
        if self.style not in get_args(Style):
            raise ValueError(f"style must be one of {get_args(Style)}, got {self.style!r}")
        if not self.words or not all(isinstance(word, str) and word for word in self.words):
            raise LangTrackError("A vocabulary needs at least one word, and no empty ones.")
        if len(self.ids) != len(self.words):
            raise LangTrackError("A vocabulary holds each word once, but this one repeats words.")
        if self.style == "published" and UNKNOWN not in self.ids:
            raise LangTrackError(f"A published vocabulary has the word {UNKNOWN}, but this one has not.")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def read(self, text: str) -> WordIds:
        """Tokenise an expression (NFKC-normalised) and look its words up.

        Raises:
            UnreadableText: when `normalised_text` refuses it, or when it has no known word.
        """
        text = normalised_text(text)
        tokens = published_tokens(text) if self.style == "published" else plain_tokens(text)
        words = tuple(token for token in tokens if any(c.isalnum() for c in token))
        unknown = tuple(dict.fromkeys(word for word in words if self._lookup(word) is None))
        if set(words) == set(unknown):
            raise UnreadableText(
                f"None of the words is known ({shorten(', '.join(unknown))}); "
                "describe the object with common English words."
            )
        ids = (self._lookup(token, self.ids.get(UNKNOWN)) for token in tokens)
        return WordIds(tuple(i for i in ids if i is not None), words, unknown)

    def _lookup(self, token: str, substitute: int | None = None) -> int | None:
        # "dog's" is at least about a dog, "leftmost" about the left.
        words = (token, token.removesuffix("'s"), token.removesuffix("most"))
        known = words if self.style == "plain" else words[:1]
        return next((self.ids[word] for word in known if word in self.ids), substitute)

    @classmethod
    def from_lines(cls, lines: Iterable[str], style: Style) -> Vocabulary:
        """Lower-cased words in order of first appearance; ``<unk>`` and ``<pad>`` come last if not yet there,
        as the published loader has it (the plain style adds nothing)."""
        words = dict.fromkeys(word.lower() for line in lines for word in line.split())
        if style == "published" and words:
            words |= dict.fromkeys((UNKNOWN, PADDING))
        return cls(tuple(words), style)

    @classmethod
    def from_file(cls, path: Path, style: Style = "published") -> Vocabulary:
        """Read a text file in UTF-8, one word a line; LangTrackError, which names the file, when it cannot be
        read, is no text, or holds no vocabulary."""
        try:
            if (size := path.stat().st_size) > MAX_FILE_BYTES:
                raise LangTrackError(f"it has {size} bytes; expected at most {MAX_FILE_BYTES}.")
            text = path.read_bytes().decode("utf-8-sig")
            if "\0" in text:
                raise LangTrackError("it holds zero bytes, which no text has.")
            return cls.from_lines(text.splitlines(), style)
        except OSError as error:
            raise LangTrackError(f"Cannot read the vocabulary {path}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise LangTrackError(f"The vocabulary {path} is not UTF-8 text, one word a line.") from error
        except LangTrackError as error:
            raise LangTrackError(f"The vocabulary {path} cannot be used: {error}") from error
