"""Training data packed small, for a machine that is lent for minutes: the same folders, smaller pictures.

    python -m langtrack_core train pack --data DIR --out DIR

Trainings read the packed folder as they read the original. Annotations and the names of files stay, since
sentences, boxes and the list of what is held out refer to them; pictures are coded as WebP, and clips have
fewer and smaller frames. What ImageNet's classifier calls the things on photos is stored, which takes minutes
to find out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from langtrack_core.types import LangTrackError
from langtrack_core.video.pictures import is_picture

from ..datasets import coco_pictures, davis_sequences
from ..datasets.files import existing, read_picture
from ..files import new_folder, replacing
from ..truth.mask_files import read_mask
from .annotated_images import DESCRIBED_SHARES, PhotoSource, SalientSource
from .image_cache import ImageCache, Rgb, bytes_per_worker
from .language_network import NAMES, classifier_names, imagenet_backbone

PARTS = frozenset((*DESCRIBED_SHARES, "detected"))
"""Folders of photos that a training reads; the clips of ``davis`` come beside them."""

QUALITY = 50
"""WebP's quality, of 100: photos of 416 pixels take 12 kB, 39 % of the JPEG files they came from."""

CLIP_STRIDE, CLIP_SIDE = 2, 416
"""Every second frame of a clip is kept, its longest side of this many pixels: the network sees 448."""

MAX_BYTES = 60_000_000
"""Size of a whole pack above which it says so: it has to travel in a minute."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with coco, persons, davis, saliency, …"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")


def run(args: argparse.Namespace) -> int:
    """Writes the packed folder and says how large it is."""
    if args.out.exists():
        raise LangTrackError(f"{args.out} exists already; choose another --out.")
    if not args.data.is_dir():
        raise LangTrackError(f"--data: there is no folder {args.data}.")
    existing(args.data / "coco" / "instances.json", "COCO annotations")  # what is named when all is packed
    existing(args.data / "saliency" / "images", "photos of one thing each")
    with new_folder(args.out) as folder:
        pack(args.data, folder)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {size / 1e6:.1f} MB" + (", more than is good to send" if size > MAX_BYTES else ""))
    return 0


def pack(data: Path, out: Path) -> None:
    """Write ``out``, a small copy of what trainings read of the folder ``data``."""
    clips = data / "davis"
    # Parts of the data are often links to folders, which rglob does not enter.
    walk = os.walk(data, followlinks=True)
    files = sorted(Path(folder, name) for folder, _, names in walk for name in names)
    for path in tqdm([path for path in files if clips not in path.parents], "photos", disable=None):
        part = path.relative_to(data)
        if len(part.parts) > 1 and part.parts[0] not in PARTS:
            continue
        target = out / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_picture(path) and path.parent.name != "masks":
            _write_webp(Image.fromarray(read_picture(path)), target)
        else:
            shutil.copyfile(path, target)
    if clips.is_dir():
        _pack_clips(clips, out / "davis")
    _store_names(out)


def _store_names(data: Path) -> None:
    names: dict[str, tuple[str, ...]] = {}
    classify = classifier_names(imagenet_backbone(), data)

    def name_of(key: str, crop: Callable[[], Rgb]) -> tuple[str, ...]:
        names[key] = classify(key, crop)
        return names[key]

    cache = ImageCache(bytes_per_worker(1))
    PhotoSource(coco_pictures(data / "coco"), name_of, lambda a, b: 0.0, cache)
    SalientSource(data / "saliency", name_of, cache)
    with replacing(data / NAMES) as path:
        path.write_text(json.dumps(names), encoding="utf-8")


def _pack_clips(clips: Path, out: Path) -> None:
    shutil.copytree(clips, out, ignore=lambda folder, names: [n for n in names if is_picture(Path(n))])
    for sequence in tqdm(davis_sequences(clips), "clips", disable=None):
        for index in range(0, len(sequence.frames), CLIP_STRIDE):
            frame, mask = sequence.frames[index], sequence.masks[index]
            picture = Image.fromarray(read_picture(frame))
            scale = min(1.0, CLIP_SIDE / max(picture.size))
            size_wh = round(picture.width * scale), round(picture.height * scale)
            _write_webp(picture.resize(size_wh, Image.Resampling.BOX), out / frame.relative_to(clips))
            assert mask is not None  # DAVIS annotates every frame
            small = cv2.resize(read_mask(mask).mask.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
            Image.fromarray(small > 0.5).save(out / mask.relative_to(clips), optimize=True)


def _write_webp(picture: Image.Image, target: Path) -> None:
    with target.open("wb") as stream:
        picture.save(stream, "WEBP", quality=QUALITY, method=4)
