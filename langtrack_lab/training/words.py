"""The words of the lite language branch: what it starts with, and how sentences are read in training.

Where "left" is and what "red" looks like is put into the network before it is trained: learnt from sentences
alone, both were still unknown after a thousand steps (docs/NOTEBOOK.md, L6 and L7). The training goes on from
here and may change them.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from langtrack_core.dmn.blocks import RGB_GAIN
from langtrack_core.dmn.lite import HEAD_SCALE, LiteDMN
from langtrack_core.dmn.vocabulary import Vocabulary, plain_tokens
from langtrack_core.types import LangTrackError

from ..colours import COLOURS
from ..expressions.words import NOUNS
from .annotated_images import Similarity

# --- what the heads start with ------------------------------------------------------------------------------

PLACE_LOGITS: dict[str, tuple[float, ...]] = {
    "left": (-1.5, 0, 0, 0, 0),
    "right": (1.5, 0, 0, 0, 0),
    **dict.fromkeys(("middle", "center", "centre"), (0, 0, -1.5, 0, 0)),
    "top": (0, -1.2, 0, 0, 0),
    "upper": (0, -1.0, 0, 0, 0),
    "bottom": (0, 1.2, 0, 0, 0),
    "lower": (0, 1.0, 0, 0, 0),
    "front": (0, 0.6, 0, 0, 0),
}
"""What a place word adds to the logits of x, y, x^2, y^2 and x y, where x and y go from -1 at the left and at
the top to 1: the words of `place_words`, one by one, and "front", since what is lower is usually nearer."""

OWN_COLOUR, OTHER_COLOUR = 2.0, -0.5
"""What a colour word adds to the logit of a cell that has its colour, and of one that has another."""

SILENT_WORDS = set(
    ["the", "a", "in", "on", "of", "side", "wearing", "shirt", "person", "walking", "road", "ball"]
)
"""Frequent words that, like the nouns, say nothing of place and colour."""


def init_word_heads(network: LiteDMN, vocabulary: Vocabulary, seed: int = 0) -> None:
    """Set `place_head`, `colour_head` and the colour bins; words outside the vocabulary are left out."""
    _init_head(network, network.place_head.weight, PLACE_LOGITS, vocabulary, seed)
    _learn_shades(network.colour_bins.assign, seed)
    bins = network.config.colours
    names = {
        word: tuple(OWN_COLOUR if j == i else OTHER_COLOUR for j in range(bins))
        for i, colour in enumerate(COLOURS.values())
        for word in colour.words
    }
    _init_head(network, network.colour_head.weight, names, vocabulary, seed)


def _init_head(
    network: LiteDMN, weight: Tensor, table: dict[str, tuple[float, ...]], vocabulary: Vocabulary, seed: int
) -> None:
    """Ridge regression: the listed words say this, common nouns and words at random say nothing."""
    words, ids = network.words, vocabulary.ids
    listed = {ids[word]: value for word, value in table.items() if word in ids}
    if not listed:
        return
    nouns = {word for names in NOUNS.values() for name in names for word in name.split()} | SILENT_WORDS
    common = [ids[word] for word in sorted(nouns) if word in ids]
    others = torch.randint(len(words), (4000,), generator=torch.Generator().manual_seed(seed))
    x = torch.cat([words[list(listed)], words[common], words[others]])
    y = torch.zeros(len(x), weight.shape[0], device=x.device)
    y[: len(listed)] = torch.tensor(list(listed.values()))
    counts = torch.ones(len(x), 1, device=x.device)
    counts[: len(listed)], counts[len(listed) : len(listed) + len(common)] = 400.0, 30.0
    ridge = 0.5 * torch.eye(x.shape[1], device=x.device)
    solved = torch.linalg.solve(x.T @ (counts * x) + ridge, x.T @ (counts * y))
    with torch.no_grad():
        weight.copy_(solved.T / HEAD_SCALE)


def _learn_shades(assign: torch.nn.Sequential, seed: int, steps: int = 700) -> None:
    """Teach the first bins the named colours; cross-entropy on shades at random and around the examples."""
    shades = torch.tensor([shade for colour in COLOURS.values() for shade in colour.shades]).float()
    owner = torch.tensor([i for i, colour in enumerate(COLOURS.values()) for _ in colour.shades])
    generator = torch.Generator().manual_seed(seed)
    device = next(assign.parameters()).device
    optimiser = torch.optim.Adam(assign.parameters(), 0.01)
    for _ in range(steps):
        near = shades.repeat(8, 1) + 18 * torch.randn(8 * len(shades), 3, generator=generator)
        rgb = torch.cat([255 * torch.rand(256, 3, generator=generator), near.clamp(0, 255)])
        name = owner[torch.cdist(_lab(rgb), _lab(shades)).argmin(1)].to(device)
        logits = assign(((rgb - 127) / 128 * RGB_GAIN).to(device)[:, :, None, None])[:, :, 0, 0]
        loss = F.cross_entropy(logits, name)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _lab(rgb: Tensor) -> Tensor:
    """``(N, 3)``, 0 to 255, to CIE Lab."""
    scaled = (rgb / 255).numpy()[None].astype(np.float32)
    return torch.from_numpy(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB)[0])


# --- words in training -------------------------------------------------------------------------------------

MAX_WORDS = 20
"""Words of a sentence that are read; hardly any training sentence has more."""

FUNCTION_WORDS = {
    "a", "the", "in", "on", "at", "of", "with", "and", "its", "to", "over", "from", "up", "off",
}  # fmt: skip
"""Words that say nothing about how similar two expressions are."""


def word_ids(vocabulary: Vocabulary, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Word ids ``(N, MAX_WORDS)`` and lengths ``(N,)`` of sentences; "a" where no word is known."""
    ids = torch.zeros(len(sentences), MAX_WORDS, dtype=torch.int64)
    lengths = torch.ones(len(sentences), dtype=torch.int64)
    for row, sentence in enumerate(sentences):
        try:
            words = vocabulary.read(sentence).ids[:MAX_WORDS]
        except LangTrackError:
            words = (vocabulary.ids["a"],)
        ids[row, : len(words)] = torch.tensor(words)
        lengths[row] = len(words)
    return ids, lengths


class SynonymSwap:
    """Puts a similar word in the place of a noun now and then: "rhino" must work if only "elephant" was seen.

    Args:
        vectors: ``(V, D)`` word table, rows of length 1.
        nouns: ids of the words that may be replaced.
        share: how often.
        min_similarity: of words that may stand for each other.
    """

    def __init__(self, vectors: Tensor, nouns: list[int], share: float, min_similarity: float) -> None:
        self.share = share
        count = min(8, len(vectors))
        self.similar = torch.arange(len(vectors))[:, None].repeat(1, count)
        similarity, similar = (vectors[nouns] @ vectors.T).topk(count)
        self.similar[nouns] = torch.where(similarity > min_similarity, similar, self.similar[nouns])

    def __call__(self, ids: Tensor, rng: np.random.Generator) -> Tensor:
        choice = torch.from_numpy(rng.integers(self.similar.shape[1], size=(*ids.shape, 1)))
        swapped = self.similar[ids].gather(-1, choice)[..., 0]
        return torch.where(torch.from_numpy(rng.random(ids.shape) < self.share), swapped, ids)


def word_similarity(vectors: Tensor, vocabulary: Vocabulary) -> Similarity:
    """The similarity of the two most similar words of two expressions, articles and the like left out."""

    def rows(text: str) -> Tensor:
        ids = vocabulary.ids
        return vectors[[ids[w] for w in plain_tokens(text) if w in ids and w not in FUNCTION_WORDS]]

    def similarity(a: str, b: str) -> float:
        products = rows(a) @ rows(b).T
        return float(products.max()) if products.numel() else 0.0

    return similarity
