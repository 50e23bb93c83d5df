"""Figures of merit in the conventions of the field, cross-checked in the tests against its toolkits.

boxes        overlaps, centre errors, and the curves over them (success, precision, normalised precision)
conventions  which frames count and what a missing box is, by benchmark: OTB, LaSOT, TNL2K, GOT-10k
masks        J and F of DAVIS, the table of referring segmentation, the referral rule of VOT
bootstrap    paired over sequences: whether a difference is more than noise
"""

from .bootstrap import Difference, paired_bootstrap
from .boxes import (
    THRESHOLDS,
    precision,
    success_curve,
)
from .conventions import GOT10K, LASOT, OTB, PLAIN, BoxScores, Convention, score_boxes
from .masks import (
    DavisStatistics,
    ReferringScores,
    boundary_f,
    davis_statistics,
    referral_overlaps,
    referring_scores,
)

__all__ = [
    "GOT10K",
    "LASOT",
    "OTB",
    "PLAIN",
    "THRESHOLDS",
    "BoxScores",
    "Convention",
    "DavisStatistics",
    "Difference",
    "ReferringScores",
    "boundary_f",
    "davis_statistics",
    "paired_bootstrap",
    "precision",
    "referral_overlaps",
    "referring_scores",
    "score_boxes",
    "success_curve",
]
