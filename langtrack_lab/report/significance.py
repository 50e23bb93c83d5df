"""Sentences about differences that are larger than chance."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation.scores import MEASURES, ORACLE, by_sequence, overall
from ..evaluation.tables import Summary, distinct_labels
from ..metrics import Difference, paired_bootstrap

JUDGED = ("auc", "jf")
"""Measures that are compared: one of boxes, and one of masks where there are any."""


def difference(
    first: Summary, first_branch: str, second: Summary, second_branch: str, key: str
) -> Difference | None:
    """The difference over the sequences that both have; None when there are none."""
    a, b = (
        by_sequence(summary.pairs(branch), key)
        for summary, branch in ((first, first_branch), (second, second_branch))
    )
    common = sorted(a.keys() & b.keys())
    if not common:
        return None
    return paired_bootstrap([a[name] for name in common], [b[name] for name in common])


def verdicts(summaries: Sequence[Summary]) -> list[str]:
    """Sentences on one table: every tracker against the best, branches of a tracker, what fusion leaves.

    The best is the one that is best on the sequences that all have.
    """
    sentences = []
    labels = distinct_labels(summaries)
    common = frozenset.intersection(*(frozenset(r.key for r in s.records) for s in summaries))
    for key in JUDGED:
        figures = [overall(x for r, x in s.pairs("fused") if r.key in common) for s in summaries]
        scored = [(figures[i].get(key), i) for i in range(len(summaries))]
        ranked = [i for value, i in sorted(((v, i) for v, i in scored if v is not None), reverse=True)]
        for other in ranked[1:]:
            gap = difference(summaries[other], "fused", summaries[ranked[0]], "fused", key)
            if gap is not None:
                sentences.append(gap.sentence(labels[other], labels[ranked[0]], MEASURES[key].title))
    for label, summary in zip(labels, summaries, strict=True):
        for key in JUDGED:
            for branch in ("language", "tracker"):
                gap = difference(summary, branch, summary, "fused", key)
                if gap is not None:
                    names = (f"{label}'s {branch}", f"{label} fused")
                    sentences.append(gap.sentence(*names, MEASURES[key].title))
            sentences += _left_on_the_table(label, summary, key)
    return sentences


def _left_on_the_table(label: str, summary: Summary, key: str) -> list[str]:
    fused, oracle = (summary.overall(branch).get(key) for branch in ("fused", ORACLE))
    if fused is None or oracle is None:
        return []
    return [
        f"{label}: always taking the better branch would give {MEASURES[key].title} {oracle:.3f}; "
        f"the fusion has {fused:.3f}."
    ]
