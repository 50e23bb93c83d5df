"""Readers of annotated pictures and sequences, as they lie on disk.

A missing or malformed file raises LangTrackError and names itself. Readers hold paths and annotations only;
pictures and masks are read when asked for.
"""

from .files import IMAGE_SUFFIXES, read_mask, read_rgb
from .pictures import Instance, Picture, Referral, coco_pictures, saliency_pictures
from .registry import KINDS, Dataset, Kind, open_dataset, open_sequences
from .sequences import Sequence, davis_sequences, lasot_sequences

__all__ = [
    "IMAGE_SUFFIXES",
    "KINDS",
    "Dataset",
    "Instance",
    "Kind",
    "Picture",
    "Referral",
    "Sequence",
    "coco_pictures",
    "davis_sequences",
    "lasot_sequences",
    "open_dataset",
    "open_sequences",
    "read_mask",
    "read_rgb",
    "saliency_pictures",
]
