"""Look at every frame while it is followed: where the target is, which branch says so, and why.

python examples/each_frame.py clip.mp4 "the red car"
"""

import sys

from langtrack_core import LangTracker, Query, read_frames

video, expression = sys.argv[1:]
tracker = LangTracker.from_pretrained("lite")
for step in tracker.track(read_frames(video), Query(text=expression)):
    box = "absent" if step.fused.box_xyxy is None else step.fused.box_xyxy.round().tolist()
    print(step.frame.index, step.decision.state, step.decision.source, step.decision.reason, box)
