"""List the frames of a finished run on which both branches see something, at different places.

python examples/disagreements.py runs/car
"""

import sys

from langtrack_lab.runs import read_run

run = read_run(sys.argv[1])
for row in run.rows:
    both = row.language is not None and row.tracker is not None
    if both and row.decision.source is not None and not row.decision.agree:
        pixels = run.mask(row.frame, "fused").sum()
        print(f"frame {row.frame}: {row.decision.reason}, {row.decision.source} believed, {pixels} pixels")
