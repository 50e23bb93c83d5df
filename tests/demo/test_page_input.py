"""What a visitor gives that is no clip, or wrong: made one, or told in a sentence."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from clips import encode
from page_helpers import filled_form, follow, opened_events, page, tracker_of
from PIL import Image

from demo.page_events import PageEvents, View, notice
from demo.settings import Settings
from langtrack_core.video import probe, read_frames


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png", "a.zip", "a.ts", "a.mp4"])
def test_pictures_and_other_videos_become_a_clip(events: PageEvents, tmp_path: Path, name: str) -> None:
    upload = events.service.sessions.root / ("c" * 64) / name
    upload.parent.mkdir(parents=True)
    pictures = [Image.fromarray(np.full((48, 64, 3), 40 * k, np.uint8)) for k in range(5)]
    if name == "a.zip":
        with zipfile.ZipFile(upload, "w") as archive:
            for number, picture in enumerate(pictures):
                picture.save(tmp_path / "frame.png")
                archive.write(tmp_path / "frame.png", f"clip/img/{number + 8}.png")
            archive.writestr("__MACOSX/._1.png", b"")
            archive.writestr("clip/notes.txt", b"hello")
    elif name in ("a.ts", "a.mp4"):
        encode(upload, map(np.asarray, pictures))
    else:
        how = {} if name == "a.tif" else {"duration": 40}
        pictures[0].save(upload, save_all=True, append_images=pictures[1:], **how)
    video, message = events.take_file(str(upload), page())
    assert message == "" and probe(video).kind == "video" and upload.is_file()
    assert Path(video).name == "a.mp4" and Path(video) != upload  # the name that all files get
    frames = list(read_frames(video))
    assert [frame.time_s for frame in frames] == pytest.approx([k / 25 for k in range(5)], abs=1e-3)
    assert [int(frame.rgb.mean()) for frame in frames] == pytest.approx([40 * k for k in range(5)], abs=3)
    assert "Found in" in follow(events, video)[-1].notice
    events.service.sessions.close()
    assert not upload.exists() and not Path(video).exists()


def test_frames_of_an_odd_size_are_followed_at_their_own(events: PageEvents, tmp_path: Path) -> None:
    """As by the command line: masks of these frames have to fit."""
    pixels = np.random.default_rng(0).integers(0, 8, (7, 9, 3), np.uint8).repeat(7, 0).repeat(7, 1) * 32
    upload = tmp_path / "odd.png"
    Image.fromarray(pixels).save(upload)
    video, message = events.take_file(str(upload), page())
    info, (frame,) = probe(video), read_frames(video)
    assert message == "" and (info.width, info.height) == (63, 49)
    assert np.abs(frame.rgb.astype(int) - pixels).mean() < 3
    assert "Found in" in follow(events, video)[-1].notice


def test_what_is_no_clip_is_told(events: PageEvents, tmp_path: Path) -> None:
    for name, content, why in (
        ("a.zip", b"PK", "not a ZIP"),
        ("a.txt", b"hello", "a.txt is not a video"),
        ("a.jpg", b"hello", "a.jpg is damaged or no picture"),
    ):
        (tmp_path / name).write_bytes(content)
        _, message = events.take_file(str(tmp_path / name), page())
        assert why in message and "Traceback" not in message and str(tmp_path) not in message
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a/1.png", b"x")
        archive.writestr("b/1.png", b"x")
    assert "pictures in 2 folders" in events.take_file(str(tmp_path / "b.zip"), page())[1]


@pytest.mark.parametrize(
    ("text", "box", "start", "every", "why"),
    [
        ("", "", 0, 1, "Say what to follow"),
        ("  ", " , ", 0, 1, "Say what to follow"),
        ("the car", "1,2,3", 0, 1, "four numbers"),
        ("the car", "a,b,c,d", 0, 1, "four numbers"),
        ("the car", "1,2,nan,4", 0, 1, "four numbers"),
        ("the car", "50,50,20,20", 0, 1, "x2 &gt; x1"),
        ("the car", "500,500,600,600", 0, 1, "outside the picture"),
        ("the car", "", -1, 1, "whole number from 0"),
        ("the car", "", float("nan"), 1, "whole number from 0"),
        ("the car", "", 0, 0, "whole number from 1 to 30"),
        ("the car", "", 0, 2.5, "whole number from 1 to 30"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(
    events: PageEvents, clip: str, text: str, box: str, start: float, every: float, why: str
) -> None:
    view = events.begin(*filled_form(clip, text, box, start, every), page())
    assert why in view.notice and 'role="alert"' in view.notice
    assert list(events.watch(page())) == [View()]


def test_a_text_file_named_mp4_is_refused_without_telling_where_it_lies(
    events: PageEvents, tmp_path: Path
) -> None:
    fake = tmp_path / "holiday.mp4"
    fake.write_text("this is not a video")
    for why in (events.inspect(str(fake), page()), events.begin(*filled_form(str(fake)), page()).notice):
        assert "holiday.mp4" in why and 'role="alert"' in why and str(tmp_path) not in why


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"max_seconds": 1}, "lasts 2 seconds"),
        ({"max_side": 100}, "160x90"),
        ({"max_file_mb": 1}, "24 frames"),
    ],
)
def test_limits_are_told(tmp_path: Path, clip: str, limits: dict[str, Any], why: str) -> None:
    with opened_events(tmp_path / "root", Settings(), **limits) as events:
        assert why in events.inspect(clip, page())
        before = events.inspect(None, page()).replace("\u00a0", " ")
        assert f"Up to {limits.get('max_file_mb', 500)} MB" in before
        assert f"{limits.get('max_side', 3840)} pixels a side" in before
        assert ("1 seconds" if "max_seconds" in limits else "10 minutes") in before


def test_an_error_while_computing_is_one_sentence(
    events: PageEvents, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")
        yield

    monkeypatch.setattr(events.service.tracker, "track_all", fail)
    end = follow(events, clip)[-1]
    assert end.player["state"] == "empty" and "Something went wrong" in end.notice
    assert "secret" not in end.notice and "Traceback" not in end.notice
    (session,) = events.service.sessions.root.iterdir()
    assert [path for path in session.rglob("*") if path.is_file()] == []


def test_a_full_queue_is_told_and_leaves_no_waiting_run(tmp_path: Path, clip: str) -> None:
    with opened_events(tmp_path / "root", queue_size=1) as events:
        views = [events.begin(*filled_form(clip, "the slow slow car"), page(str(k))) for k in range(3)]
        assert "state" in views[0].player and "state" in views[1].player
        assert "waiting" in views[2].notice and 'role="alert"' in views[2].notice
    assert tracker_of(events).computing == 0


def test_what_broke_leaves_the_page_ready(events: PageEvents, clip: str) -> None:
    events.begin(*filled_form(clip), page())
    view = events.failed(page())
    assert 'role="alert"' in view.notice and view.run_button["interactive"]


def test_messages_are_text() -> None:
    assert notice("error", "<script>x</script>") == (
        '<div class="lt-notice lt-error" role="alert"><p>&lt;script&gt;x&lt;/script&gt;</p></div>'
    )
    assert notice("good", "") == ""


def test_an_unknown_example_is_refused(events: PageEvents) -> None:
    with pytest.raises(gr.Error, match="no such example"):
        events.fill_example(SimpleNamespace(_data={"name": "../../etc/passwd"}), page())  # type: ignore[arg-type]
