"""What the lite language branch is told before it is trained: where "left" lies, and what "red" looks like.

Learnt from sentences alone, both were still unknown after a thousand steps (docs/NOTEBOOK.md, L6 and L7). The
training goes on from here and may change them.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from langtrack_core.dmn.blocks import RGB_GAIN
from langtrack_core.dmn.lite import LiteDMN
from langtrack_core.dmn.vocabulary import Vocabulary

from ..colours import COLOURS
from ..expressions.words import NOUNS

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

SILENT = {"the", "a", "in", "on", "of", "side", "wearing", "shirt", "person", "walking", "road", "ball"}


def tell(network: LiteDMN, vocabulary: Vocabulary, seed: int = 0) -> None:
    """Set `say_place`, `say_colour` and the colour bins; words outside the vocabulary are left out."""
    _tell_words(network, network.say_place.weight, PLACE_LOGITS, vocabulary, seed)
    _learn_shades(network.colours.assign, seed)
    bins = network.config.colours
    names = {
        word: tuple(OWN_COLOUR if j == i else OTHER_COLOUR for j in range(bins))
        for i, colour in enumerate(COLOURS.values())
        for word in colour.words
    }
    _tell_words(network, network.say_colour.weight, names, vocabulary, seed)


def _tell_words(
    network: LiteDMN, weight: Tensor, table: dict[str, tuple[float, ...]], vocabulary: Vocabulary, seed: int
) -> None:
    """Ridge regression: the listed words say this, common nouns and words at random say nothing."""
    words, ids = network.words, vocabulary.ids
    told = {ids[word]: value for word, value in table.items() if word in ids}
    if not told:
        return
    nouns = {word for names in NOUNS.values() for name in names for word in name.split()} | SILENT
    common = [ids[word] for word in sorted(nouns) if word in ids]
    others = torch.randint(len(words), (4000,), generator=torch.Generator().manual_seed(seed))
    x = torch.cat([words[list(told)], words[common], words[others]])
    y = torch.zeros(len(x), weight.shape[0], device=x.device)
    y[: len(told)] = torch.tensor(list(told.values()))
    counts = torch.ones(len(x), 1, device=x.device)
    counts[: len(told)], counts[len(told) : len(told) + len(common)] = 400.0, 30.0
    ridge = 0.5 * torch.eye(x.shape[1], device=x.device)
    solved = torch.linalg.solve(x.T @ (counts * x) + ridge, x.T @ (counts * y))
    with torch.no_grad():
        weight.copy_(solved.T / LiteDMN.said_gain)


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
