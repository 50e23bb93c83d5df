"""A correction holds, with the shipped networks: a drawn box is the truth, whatever the words say."""

from __future__ import annotations

from pathlib import Path

from app_helpers import SETTINGS
from two_cars import overlaps, two_cars

from demo.service import Service
from langtrack_core import LangTracker
from langtrack_core.geometry import FloatArray
from langtrack_core.masks import enclosing_box
from langtrack_core.video import VideoWriter

MIN_IOU = 0.65
"""Mean IoU with the corrected target that a person can rely on."""


def test_a_box_on_the_other_car_holds_against_the_words(tmp_path: Path) -> None:
    scene = two_cars()
    clip = tmp_path / "root" / ("0" * 64) / "cars.mp4"
    clip.parent.mkdir(parents=True)
    with VideoWriter(clip, 25) as writer:
        for frame in scene.frames:
            writer.write(frame)
    service = Service(LangTracker.from_pretrained("lite"), SETTINGS, tmp_path / "root")
    session = service.sessions.get("me")
    assert service.follow(session, service.check_request(str(clip), "the red car")).wait(600)
    assert session.workspace is not None
    (target,) = session.workspace.project.targets

    def track() -> list[FloatArray | None]:
        return [row.fused.box_xyxy for row in target.run().rows]

    assert overlaps(scene, track(), 0).mean() > MIN_IOU and overlaps(scene, track(), 1).mean() < 0.1
    truth = enclosing_box(scene.objects[1].masks[0])
    assert truth is not None
    box = ",".join(f"{value:g}" for value in truth)
    assert service.correct(session, target.id, 0, None, box, "forward").wait(600)
    assert overlaps(scene, track(), 1).mean() > MIN_IOU and overlaps(scene, track(), 0).max() < 0.1
    service.close()
