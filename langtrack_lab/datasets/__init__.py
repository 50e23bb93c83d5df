"""Readers of annotated pictures and sequences, as they lie on disk: `open_dataset` by kind, or one by one.

A missing or malformed file raises LangTrackError and names itself. Readers hold paths and annotations only;
pictures and masks are read when asked for.
"""

from .boxes import (
    ONE_BASED,
    got10k_sequences,
    lasot_sequences,
    otb_lang_sequences,
    tnl2k_sequences,
)
from .described import described_pictures
from .held_out import held_out_clips, held_out_photos
from .pictures import Instance, Picture, Referral, box_referrals, coco_pictures, coco_set, saliency_pictures
from .refer import refer_referrals
from .registry import KINDS, Dataset, Layout, guess_kind, open_dataset, open_sequences
from .sequences import Sequence, box_sequences, davis_sequences, plain_sequences
from .videos import ref_davis17_sequences, ref_youtube_vos_sequences

__all__ = [
    "KINDS",
    "ONE_BASED",
    "Dataset",
    "Instance",
    "Layout",
    "Picture",
    "Referral",
    "Sequence",
    "box_referrals",
    "box_sequences",
    "coco_pictures",
    "coco_set",
    "davis_sequences",
    "described_pictures",
    "got10k_sequences",
    "guess_kind",
    "held_out_clips",
    "held_out_photos",
    "lasot_sequences",
    "open_dataset",
    "open_sequences",
    "otb_lang_sequences",
    "plain_sequences",
    "ref_davis17_sequences",
    "ref_youtube_vos_sequences",
    "refer_referrals",
    "saliency_pictures",
    "tnl2k_sequences",
]
