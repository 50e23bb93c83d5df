"""``python -m langtrack_core batch MANIFEST --out DIR``: many videos, resumable.

DIR then holds ``runs/<id>/`` (run folders), ``index.csv`` (a row for each item), ``ledger.jsonl`` (how each
ended) and ``batch.json`` (the settings). The same command again continues with the items that are not done.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from langtrack_core import PROG
from langtrack_core.files import why
from langtrack_core.run.command import add_run_arguments, network_options, run_options
from langtrack_core.run.recorder import video_sha256
from langtrack_core.run.track_video import load_tracker
from langtrack_core.types import LangTrackError

from ..memory import usual_workers
from . import exporters
from .ledger import Entry, Ledger, check_settings, remove_leftovers
from .manifest import Item, read_manifest
from .process_pool import LocalPool
from .ray_pool import RayPool
from .scheduler import BatchAborted, RetryPolicy, run_items
from .worker import Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "manifest", type=Path, metavar="MANIFEST", help="CSV or JSON Lines; see docs/batch.md"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the batch")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="at a time, each with its networks; one for each core with memory unless told otherwise "
        "(one on a GPU, and with --ray)",
    )
    parser.add_argument("--ray", metavar="ADDRESS", help='a Ray cluster: "auto", "ray://…", or "local"')
    parser.add_argument("--cpus", type=float, default=1.0, help="with --ray: cores that a worker asks for")
    parser.add_argument(
        "--gpus", type=float, default=0.0, help="with --ray: share of a GPU that a worker gets"
    )
    parser.add_argument("--retry-failed", action="store_true", help="try again what has failed")
    parser.add_argument(
        "--timeout", type=float, default=RetryPolicy.frame_s, metavar="S", help="seconds without a new frame"
    )
    add_run_arguments(parser)
    parser.add_argument("--coco", action="store_true", help="also write coco_video.json")
    parser.add_argument("--yolo", action="store_true", help="also write yolo/ with a label file a frame")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")


def run(args: argparse.Namespace) -> int:
    """0 when every item is done, 1 when some have failed."""
    from langtrack_core.weights.load import check, choose

    if not args.timeout > 0:
        raise LangTrackError(f"--timeout must be above 0, got {args.timeout:g}.")
    load = functools.partial(load_tracker, **network_options(args))
    runs = args.out.expanduser().resolve() / "runs"
    entries = choose(args.weights)
    weights = [check(entries[branch]) for branch in ("language", "tracker")]
    options = replace(run_options(args), overwrite=True)  # a lost worker may have left a run
    try:
        return run_batch(args, Task(load, runs, weights, options))
    except ConnectionError:  # of whoever reads the output, or of a cluster
        raise
    except OSError as error:
        raise LangTrackError(f"The batch cannot be written to {args.out}: {why(error)}.") from error


def run_batch(args: argparse.Namespace, task: Task) -> int:
    """Runs a batch with a given task; see `run`."""
    items = read_manifest(args.manifest, lambda note: print(f"{PROG}: {note}", file=sys.stderr))
    out = task.runs.parent
    with Ledger(out) as ledger:
        task.runs.mkdir(exist_ok=True)
        networks = {"backend": args.backend, "precision": args.precision}
        settings = {"weights": task.weights, **networks, **asdict(task.options)}
        check_settings(out, json.loads(json.dumps(settings)))  # as it is read back, with lists for tuples
        remove_leftovers(task.runs)  # we hold the lock, so nobody else is writing there
        changed = [i.id for i in items if _is_other(ledger, i, task.runs / i.id)]
        if changed:
            print(
                f"{PROG}: asked otherwise than before, or of another video, so done again: "
                f"{', '.join(changed)}.",
                file=sys.stderr,
            )
        for name in changed:
            del ledger.entries[name]
            shutil.rmtree(task.runs / name, ignore_errors=True)
        todo = [i for i in items if _is_to_do(ledger.entries.get(i.id), task.runs / i.id, args.retry_failed)]
        try:
            if todo:
                policy = RetryPolicy(frame_s=args.timeout)
                with _pool(task, args, len(todo)) as pool, _bar(items, todo, ledger, args.quiet) as progress:
                    run_items(
                        todo,
                        pool,
                        ledger,
                        task.runs,
                        policy=policy,
                        on_ready=functools.partial(_same_weights, task),
                        progress=progress,
                    )
        finally:
            exporters.write_index(out / "index.csv", items, ledger.entries)
            remove_leftovers(task.runs)
        done_items = [item for item in items if ledger.entries[item.id].status == "done"]
        if args.coco:
            exporters.write_coco_video(out / "coco_video.json", done_items, task.runs)
        if args.yolo:
            exporters.write_yolo(out / "yolo", done_items, task.runs)
        if not args.quiet:
            print(_summary(items, ledger, out))
        return 0 if len(done_items) == len(items) else 1


def _is_other(ledger: Ledger, item: Item, folder: Path) -> bool:
    """Whether an item was asked otherwise, or is done of another video than is there now.

    Its hash tells, which is computed only where its size or time has changed; then the ledger gets these.
    """
    entry, stamp = ledger.entries.get(item.id), item.video_stamp()
    if entry is None or (entry.asked and entry.asked != item.asked()):
        return entry is not None
    if entry.status != "done" or stamp in ([], entry.video_stamp):
        return False
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, LangTrackError):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if video_sha256(Path(item.video)) != manifest["video"]["sha256"]:
            return True
        ledger.add(replace(entry, video_stamp=stamp))
    return False


def _is_to_do(entry: Entry | None, folder: Path, retry_failed: bool) -> bool:
    if entry is None:
        return True
    if entry.status == "failed":
        return retry_failed
    return not (folder / "manifest.json").exists()  # its run has been deleted since


def _same_weights(task: Task, info: dict[str, Any]) -> None:
    """A worker may live on another machine, with other files under the same name."""
    files = [w["files"] for w in info.get("weights", ())]
    if files != task.weights:
        raise BatchAborted(
            f"A worker has other weights than this machine: {files} instead of {task.weights}."
        )


@contextlib.contextmanager
def _pool(task: Task, args: argparse.Namespace, todo: int) -> Iterator[LocalPool | RayPool]:
    workers = args.workers
    if workers is None:
        workers = 1 if args.ray else usual_workers(args.device)
    if workers > 0:
        workers = min(workers, todo)
    if args.ray is None:
        pool: LocalPool | RayPool = LocalPool(task, workers)
    else:
        pool = RayPool(task, workers, args.ray, args.cpus, args.gpus)
    try:
        yield pool
    finally:
        pool.close()


@contextlib.contextmanager
def _bar(items: list[Item], todo: list[Item], ledger: Ledger, quiet: bool) -> Iterator[Any]:
    failed = 0
    with tqdm(
        total=len(items), initial=len(items) - len(todo), unit="video", disable=quiet, dynamic_ncols=True
    ) as bar:

        def progress(entry: Entry | None, frames: int) -> None:
            nonlocal failed
            if entry is not None:
                bar.update()
                if entry.status == "failed":
                    failed += 1
                    bar.write(f"failed: {entry.id}: {entry.reason}", file=sys.stderr)
            elapsed = bar.format_dict["elapsed"]
            if elapsed:
                bar.set_postfix_str(f"{frames / elapsed:.1f} frames/s, {failed} failed")

        yield progress


def _summary(items: list[Item], ledger: Ledger, out: Path) -> str:
    entries = [ledger.entries[item.id] for item in items]
    count = Counter(entry.status for entry in entries)
    frames = sum(entry.frames for entry in entries)
    what = "1 item" if len(items) == 1 else f"{len(items)} items"
    lines = [f"{what}: {count['done']} done, {count['failed']} failed; {frames} frames."]
    if count["failed"]:
        lines.append("Why, and which, is in index.csv; --retry-failed tries them again.")
    lines.append(f"The batch is in {out}.")
    return " ".join(lines)
