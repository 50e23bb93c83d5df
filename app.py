"""The demo: ``python app.py``, then open the printed address. Every limit is in `demo.settings`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import FrameType

EXAMPLES = Path(__file__).parent / "assets" / "examples"
"""Folder of the clips that the page offers to begin with."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; all files of all visitors are gone afterwards.

    Errors have the command line's form and exit codes. Being stopped, by Ctrl-C or SIGTERM, is no error: 0.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy; see langtrack_core/__main__.py
    # Gradio asks its own address whether it answers; a proxy, set for other programs, could not tell.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"
    if importlib.util.find_spec("spaces") is not None:
        import spaces  # noqa: F401  # a ZeroGPU Space wants it imported before torch

    from demo.hosting import check_address
    from demo.server_root import server_root
    from langtrack_core import PROG
    from langtrack_core.cli import replace_unprintable
    from langtrack_core.types import LangTrackError

    replace_unprintable()
    flags = read_flags(arguments)
    signal.signal(signal.SIGTERM, _leave)
    try:
        check_address(flags.host, flags.port)
        with server_root() as root:
            os.environ["GRADIO_TEMP_DIR"] = str(root)  # before Gradio is imported: uploads go there too
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(root))  # made at import, by way of timm
            return _serve(flags, root)
    except LangTrackError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while starting; later Gradio takes it and returns
        return 0


def _serve(flags: argparse.Namespace, root: Path) -> int:
    from demo.hosting import bound_memory, check_address, check_mcp, describe_mcp_files, on_zero_gpu
    from demo.late_tracker import LateTracker
    from demo.layout import build_app, launch_options
    from demo.settings import Settings
    from langtrack_core import LangTrackError
    from langtrack_core.weights.load import choose

    settings = Settings.from_env()
    if flags.clips is not None and not flags.clips.is_dir():
        raise LangTrackError(f"--clips {flags.clips} is not a folder.")
    if flags.mcp:
        check_mcp()
        describe_mcp_files()
    choose(flags.weights)  # tells a wrong name before anything is served
    bound_memory()
    tracker = LateTracker(flags.weights, flags.device, settings.threads)
    if on_zero_gpu():  # where the networks have to be there when the server starts
        tracker.load()
    page, service = build_app(tracker.proxy, settings, root, EXAMPLES, flags.clips)
    try:
        try:
            page.launch(
                server_name=flags.host,
                server_port=flags.port,
                inbrowser=flags.open,
                mcp_server=flags.mcp,
                prevent_thread_lock=True,
                **launch_options(settings, EXAMPLES),
            )
        except OSError as error:
            check_address(flags.host, flags.port)  # somebody may have taken it since it was looked at
            address = f"{flags.host}:{flags.port}"
            raise LangTrackError(f"The page cannot be served at {address}: {error}.") from None
        tracker.load()  # the page is there already: a visitor chooses a clip meanwhile
        page.block_thread()
    finally:
        service.close()
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)  # a container is stopped by SIGTERM; this way the files go too


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    from demo.hosting import device
    from langtrack_core.run.command import whole_argument

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument(
        "--port", type=whole_argument(1, 65535), default=os.environ.get("GRADIO_SERVER_PORT", "7860")
    )
    parser.add_argument("--weights", default="lite", help="lite, paper, or a weights file")
    parser.add_argument("--device", default=device(), help="cpu, cuda, cuda:1, …")
    parser.add_argument(
        "--clips",
        type=Path,
        metavar="DIR",
        help="a folder of clips, or of a batch, to judge one after the other",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--mcp", action="store_true", help="offer the API as an MCP tool too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
