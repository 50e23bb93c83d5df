"""The same batches on a Ray cluster of two workers on this machine, one of which is killed mid-run."""

import signal
from pathlib import Path

import batch_helpers
import pytest
from batch_helpers import index, left_over, manifest, run
from synthetic import moving_object, write_mp4

from langtrack_core.types import LangTrackError
from langtrack_lab.batch import ray_pool as cluster

pytestmark = pytest.mark.slow


def test_a_batch_on_ray_survives_the_loss_of_a_worker(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(cluster, "ASK_S", 0.5)
    # Ray starts a worker anew that says nothing for a minute: on a busy machine that is never.
    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "600")
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("PYTHONPATH", str(Path(batch_helpers.__file__).parent))
    clip = write_mp4(moving_object(5, (48, 64)), tmp_path / "clip.mp4")
    flag = tmp_path / "died"
    expressions = ["the box", f"die once {flag}", "fault", "the box", "the box", "the box"]
    path, out = manifest(tmp_path, clip, expressions), tmp_path / "out"
    assert run(path, out, "--ray", "local", "--workers", "2", "--cpus", "0.5", "--no-video") == 1
    rows = index(out)
    assert [row["status"] for row in rows.values()] == ["done", "done", "failed", "done", "done", "done"]
    assert rows["item1"]["attempts"] == "2" and rows["item1"]["frames"] == "5"
    assert "told to" in rows["item2"]["reason"]
    lines = (out / "ledger.jsonl").read_text().splitlines()
    assert len(lines) == 6 and left_over(out) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_no_cluster_at_the_address(tmp_path: Path):
    clip = write_mp4(moving_object(2, (48, 64)), tmp_path / "clip.mp4")
    with pytest.raises(LangTrackError, match=r"no Ray cluster.*'auto'"):
        run(manifest(tmp_path, clip, ["the box"]), tmp_path / "out", "--ray", "auto", "--no-video")
