"""Follow one thing through a video and write a run folder.

python examples/follow.py clip.mp4 "the red car" runs/car
"""

import sys

from langtrack_core import LangTracker, track_video

video, expression, out = sys.argv[1:]
tracker = LangTracker.from_pretrained("lite")
run = track_video(tracker, video, expression, out=out)
print(f"found in {run.states['tracking']} of {run.states.total()} frames; see {run.folder}")
