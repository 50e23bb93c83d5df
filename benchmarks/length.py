"""Is a long clip as fast and as small at its end as at its beginning?

    .venv/bin/python -m benchmarks.length                # 10,000 frames
    .venv/bin/python -m benchmarks.length --frames 500

An example is repeated, without encoding it again, and followed as the command line does, then by a job of the
page. Processor time a frame and memory are measured over tenths of the clip; the first tenth is left out, in
which caches fill. The program fails when a frame of the last tenth takes more than `SLOWER` times as long as
one of the second, or when the memory grows by more than `CACHES_MB` and `GROWTH_KB` a frame.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # before NumPy is imported, as the command line and the page do
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av

from demo.service import Service
from demo.settings import Settings
from langtrack_core import LangTracker, RunOptions, track_video
from langtrack_core.types import Step
from langtrack_lab.memory import memory_mb

EXAMPLES = Path(__file__).resolve().parent.parent / "assets" / "examples"
TEXT = "the red car"
"""What is followed: a sentence that fits one thing of the example clip."""

SLOWER = 1.15
"""Ratio of processor times that is no growth: parts of a clip differ by as much."""
GROWTH_KB = 10.0
"""Kilobytes of memory a frame: a job of the page keeps 3 to 5, its boxes and encoded masks."""
CACHES_MB = 30.0
"""Megabytes that caches and heaps may grow by beside that, however long the clip is."""


def repeat_clip(source: Path, target: Path, frames: int) -> None:
    """Copies the packets of a clip again and again, until there are ``frames`` pictures."""
    with av.open(str(target), "w") as output:
        stream, count, offset = None, 0, 0
        while count < frames:
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                last = 0
                for packet in container.demux(video):
                    if packet.dts is None or packet.pts is None or count == frames:
                        continue
                    last = max(last, packet.pts + (packet.duration or 1))
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    output.mux(packet)
                    count += 1
                offset += last


class Meter:
    """Processor time and memory at the end of each tenth of a clip."""

    def __init__(self, frames: int) -> None:
        self.frames, self.tenth, self.count = frames, frames // 10, 0
        self.marks = [(0, time.process_time(), memory_mb())]

    def advance(self, count: int) -> None:
        """Note how many frames are done."""
        if count - self.marks[-1][0] >= self.tenth:
            self.marks.append((count, time.process_time(), memory_mb()))

    def report(self, name: str) -> bool:
        """Print the tenths; False when there is growth."""
        times = [
            (later[1] - before[1]) / (later[0] - before[0]) * 1000
            for before, later in zip(self.marks, self.marks[1:], strict=False)
        ]
        for (frame, _, memory), milliseconds in zip(self.marks[1:], times, strict=True):
            print(f"{name:13} frame {frame:6}  {milliseconds:6.1f} ms a frame  {memory:6.0f} MB", flush=True)
        (first, _, before_mb), (last, _, after_mb) = self.marks[1], self.marks[-1]
        growth_mb, ratio = after_mb - before_mb, times[-1] / times[1]
        print(f"{name:13} last tenth to second {ratio:.2f}, memory {growth_mb:+.0f} MB", flush=True)
        return ratio <= SLOWER and growth_mb <= CACHES_MB + GROWTH_KB / 1024 * (last - first)


def on_command_line(tracker: LangTracker, clip: Path, out: Path, frames: int) -> bool:
    meter = Meter(frames)
    on_step: Callable[[Step], object] = lambda step: meter.advance(step.frame.index + 1)  # noqa: E731
    track_video(tracker, clip, TEXT, out=out, options=RunOptions(), on_step=on_step)
    return meter.report("command line")


def on_page(tracker: LangTracker, clip: Path, root: Path, frames: int) -> bool:
    meter = Meter(frames)
    service = Service(tracker, Settings(max_frames=frames, max_seconds=1e6, max_file_mb=100_000), root)
    job = service.follow(service.sessions.get("visitor"), service.check_request(str(clip), TEXT, "", 0, 1))
    while not job.wait(0.05):
        meter.advance(job.progress.frames)
    if job.error is not None:
        raise RuntimeError(job.error)
    grows = not meter.report("page")
    print(f"{'page':13} over                                 {memory_mb():6.0f} MB")
    service.close()
    return not grows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000)
    flags = parser.parse_args()
    tracker = LangTracker.from_pretrained()
    for weights in tracker.info["weights"]:  # the time of a frame is that of the precision chosen
        print(f"{weights['branch']:13} {weights['backend']['name']}, {weights['backend']['precision']}")
    with tempfile.TemporaryDirectory(prefix="langtrack-length-") as temporary:
        folder = Path(temporary)
        clip = folder / "long.mp4"
        repeat_clip(min(EXAMPLES.glob("*.mp4")), clip, flags.frames)
        flat = [
            on_command_line(tracker, clip, folder / "run", flags.frames),
            on_page(tracker, clip, folder / "root", flags.frames),
        ]
    return 0 if all(flat) else 1


if __name__ == "__main__":
    sys.exit(main())
