"""Damaged files: ``python -m benchmarks.fuzz [--mutations 2000] [--seed 0]``.

Makes twelve containers and damages copies of them at random. Each is looked at, read both ways and copied
with its sound, in processes that are watched. A file may be read or refused with a LangTrackError; any other
exception, a crash and anything over `LONGEST_S` counts as a fault. Prints the figures and ends with 1 after
a fault, whose file it keeps.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image

from demo.backward import read_backward
from langtrack_core.types import LangTrackError
from langtrack_core.video import VideoWriter, probe, read_frames

LONGEST_S = 30.0
"""Seconds that one damaged file may take; a whole one takes a tenth of one."""

FRAMES = 12
"""Frames of each file: few, so that thousands of files take minutes."""
CODECS = {
    "a.mp4": ("libx264", "aac"),
    "a.mov": ("mpeg4", "aac"),
    "a.mkv": ("libx264", "flac"),
    "a.webm": ("libvpx-vp9", "libopus"),
    "a.avi": ("mpeg4", "libmp3lame"),
    "a.ts": ("libx264", "aac"),
    "a.mpg": ("mpeg2video", "mp2"),
    "a.flv": ("flv", "aac"),
}
"""FFmpeg's encoders of pictures and sound for each container."""

PICTURES = {"a.gif": "GIF", "a.png": "PNG", "a.webp": "WEBP", "a.tif": "TIFF"}
"""Pillow's names of the formats of animated pictures."""


class Fault(NamedTuple):
    name: str
    number: int
    why: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-faults"), help="folder for files with a fault"
    )
    args = parser.parse_args()
    started = time.perf_counter()
    outcomes: Counter[str] = Counter()
    faults: list[Fault] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        originals = make_originals(Path(folder))
        for number, name, outcome, seconds in run_all(originals, Path(folder), args):
            slowest = max(slowest, seconds)
            outcomes[outcome.partition(":")[0]] += 1
            if outcome.startswith("fault"):
                faults.append(Fault(name, number, outcome))
                args.keep.mkdir(exist_ok=True)
                data = mutated(originals[name].read_bytes(), args.seed + number)
                (args.keep / f"{number}-{name}").write_bytes(data)
    minutes = (time.perf_counter() - started) / 60
    print(f"{args.mutations} mutations of {len(originals)} containers in {minutes:.1f} min: ", end="")
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())), end="; ")
    print(f"slowest {slowest:.1f} s")
    for fault in faults:
        print(f"  {fault.number}-{fault.name}: {fault.why}")
    return 1 if faults else 0


# --- the files ---------------------------------------------------------------------------------------------


def make_originals(folder: Path) -> dict[str, Path]:
    pictures = [noise(index) for index in range(FRAMES)]
    for name, codecs in CODECS.items():
        make_video(folder / name, pictures, *codecs)
    for name, form in PICTURES.items():
        first, *rest = map(Image.fromarray, pictures)
        how = {} if form == "TIFF" else {"duration": 40}
        first.save(folder / name, form, save_all=True, append_images=rest, **how)
    return {name: folder / name for name in (*CODECS, *PICTURES)}


def noise(index: int) -> np.ndarray:
    small = np.random.default_rng(index).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return small.repeat(8, axis=0).repeat(8, axis=1)


def make_video(path: Path, pictures: list[np.ndarray], video_codec: str, sound_codec: str) -> None:
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Straße"
        video = container.add_stream(video_codec, rate=25)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        rate = 44100 if path.suffix == ".flv" else 48000
        sound = container.add_stream(sound_codec, rate=rate)
        assert isinstance(sound, av.AudioStream)
        for index, rgb in enumerate(pictures):
            picture = av.VideoFrame.from_ndarray(rgb)
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(video.encode(picture))
        for block in range(FRAMES * rate // 25 // 960):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, block * 960, Fraction(1, rate)
            container.mux(sound.encode(frame))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def mutated(data: bytes, seed: int) -> bytes:
    """Bytes changed, blocks overwritten, cut out, doubled, or the end cut off; often in the header."""
    chance = random.Random(seed)
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        reach = min(len(damaged), 600) if chance.random() < 0.5 else len(damaged)
        at, size = chance.randrange(max(1, reach)), chance.choice((1, 1, 4, 32, 300))
        match chance.randrange(6):
            case 0 | 1:
                damaged[at] = chance.choice((0, 1, 0x7F, 0x80, 0xDF, 0xFF, chance.randrange(256)))
            case 2:
                damaged[at : at + size] = chance.randbytes(size)
            case 3:
                del damaged[at : at + size]
            case 4:
                damaged[at:at] = damaged[at : at + size]
            case _:
                del damaged[max(1, chance.randrange(len(damaged))) :]
        if not damaged:
            damaged = bytearray(1)
    return bytes(damaged)


# --- processes ---------------------------------------------------------------------------------------------


def read(path: Path) -> str:
    """Everything that a run does with a file; "read", "refused", or "fault: …"."""
    sentences: list[str] = []
    try:
        info = probe(path)
        with (
            VideoWriter(path.with_suffix(".copy.mp4"), info.fps, source=info) as writer,
            closing(read_frames(path, on_damage=sentences.append)) as frames,
        ):
            last = -1
            for frame in frames:
                last = frame.index
                writer.write(frame.rgb, frame.time_s)
        with closing(read_backward(path, start=last)) as frames:
            if sum(1 for _ in frames) != last + 1:
                return "fault: not as many frames backward as forward"
    except LangTrackError as error:
        text = str(error)
        return "refused" if text.endswith(".") and "\n" not in text else f"fault: no sentence: {text}"
    except Exception as error:
        return f"fault: {type(error).__name__}: {error}"
    return "damaged" if sentences else "read"


def worker(pipe: Connection) -> None:
    av.logging.set_level(None)
    while (path := pipe.recv()) is not None:
        pipe.send(read(path))


class Watched:
    """A process with one file at a time; it is ended when it takes too long, and begun anew."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=worker, args=(theirs,), daemon=True
        )
        self.process.start()
        theirs.close()
        self.job: tuple[int, str] | None = None
        self.since = 0.0

    def give(self, number: int, name: str, path: Path) -> None:
        self.job, self.since = (number, name), time.perf_counter()
        self.pipe.send(path)

    def end(self) -> None:
        self.process.kill()
        self.process.join()


def run_all(
    originals: dict[str, Path], folder: Path, args: argparse.Namespace
) -> Iterator[tuple[int, str, str, float]]:
    """Number, name, outcome and seconds of each mutation."""
    names = list(originals)
    numbers = iter(range(args.mutations))
    workers = [Watched() for _ in range(args.processes)]
    try:
        while True:
            for place, one in enumerate(workers):
                if one.job is None and (number := next(numbers, None)) is not None:
                    name = names[number % len(names)]
                    path = folder / f"{place}{Path(name).suffix}"
                    path.write_bytes(mutated(originals[name].read_bytes(), args.seed + number))
                    one.give(number, name, path)
            busy = [one for one in workers if one.job is not None]
            if not busy:
                return
            wait([one.pipe for one in busy], timeout=1.0)
            for one in busy:
                assert one.job is not None
                seconds = time.perf_counter() - one.since
                outcome = ""
                try:
                    if one.pipe.poll():
                        outcome = one.pipe.recv()
                except EOFError:
                    outcome = f"fault: the process ended with {one.process.exitcode}"
                    one.process.join()
                if not outcome and seconds > LONGEST_S:
                    outcome = f"fault: over {LONGEST_S:.0f} s"
                if not outcome:
                    continue
                (number, name), one.job = one.job, None
                if outcome.startswith(("fault: over", "fault: the process")):
                    one.end()
                    one.begin()
                yield number, name, outcome, seconds
    finally:
        for one in workers:
            one.end()


if __name__ == "__main__":
    sys.exit(main())
