"""A tracker whose networks are loaded after the page is served: they take longer than the page itself."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from langtrack_core.pipeline import LangTracker


class LateTracker:
    """Stands for `LangTracker.from_pretrained` until `load` has been called; whoever uses it earlier waits.

    Args:
        threads: number of threads for the networks; 0 for as many as the machine has cores.
    """

    def __init__(self, weights: str, device: str, threads: int = 0) -> None:
        self._weights, self._device, self._threads = weights, device, threads
        self._loaded: Future[LangTracker] = Future()

    @property
    def proxy(self) -> LangTracker:
        """The tracker to hand on."""
        return cast("LangTracker", self)

    def load(self) -> None:
        """Load the networks; does nothing when they are there.

        Raises:
            LangTrackError: as `LangTracker.from_pretrained`; those who wait get the same.
        """
        if self._loaded.done():
            return
        try:
            from langtrack_core.pipeline import LangTracker

            if self._threads:
                import torch

                torch.set_num_threads(self._threads)
            self._loaded.set_result(LangTracker.from_pretrained(self._weights, device=self._device))
        except BaseException as error:
            self._loaded.set_exception(error)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loaded.result(), name)
