"""The language-guided module on one frame: picture and expression in, an `Estimate` out.

Serves every network with `encode` and `segment`, the published DMN and `lite` alike. It holds no state
between frames, so one segmenter may be shared by runs and threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..fusion import Calibration
from ..geometry import Float32Array, FloatArray
from ..masks import POSITIVE_ABOVE, binarise, largest_component, prob_to_u8, refine_edges
from ..types import Estimate, Frame, LangTrackError
from .vocabulary import Vocabulary

LITE_SHAPES_HW = ((448, 256), (384, 288), (320, 320), (288, 384), (256, 448))
"""Input sizes of the lite network: 9:16, 3:4, 1:1, 4:3 and 16:9, all of some 110,000 pixels. A frame takes
the one nearest to its own proportions: squeezed to a square, a man's legs are thinner than a cell."""

MAX_GAP = 0.02
"""Regions of a mask that are closer than this share of the picture's longest side are joined before the
largest is kept: a pole in front of a man must not halve him. With 0.03 the hand above a can joins the can."""

View = tuple[slice, slice]
"""Rows and columns of a frame, a part of it that is looked at closer."""

Look = tuple[Frame, View | None]
"""A frame, and the view of it; None for the whole."""

_Answer = tuple[Look, Tensor, float | None]
"""What the network says of a look: the map of the mask's logits, and its score."""

EncodedText = Any
"""An expression, read once: what the network makes of it."""

VIEW_SIDE = 0.6
"""Side of the four views of a search, as a share of the frame's: neighbours overlap by a third."""

ROOM, LEAST_SIDE = 4.0, 0.25
"""A view around a target is so many times as long as it, and at least this share of the frame."""


class GroundingNetwork(Protocol):
    """A network that turns an expression and a picture into a mask. Pure: calls leave nothing behind."""

    def encode(self, ids: Tensor) -> Any:
        """Word ids ``(T,)`` int64 to whatever ``segment`` wants of the language."""

    def segment(
        self, image: Tensor, language: Any, view: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """``(B, 3, h, w)`` to mask logits ``(B, 1, h', w')`` over the whole pictures, and ``(B,)`` or None:
        the network's own logit of "the IoU of this mask with the truth is above 0.5". A network with
        `SegmenterConfig.views` takes the views that the pictures are, ``(B, 4)``, see `blocks.seen_in`. B is
        1, or on a GPU up to the network's ``at_once``: one picture takes it nearly as long."""


@dataclass(frozen=True)
class Preprocessing:
    """How a frame becomes a network's input.

    Attributes:
        size: length of the longest side, in pixels. The proportions stay, as DMN was trained: bilinear, not
            anti-aliased, in floating point.
        shapes_hw: heights and widths in pixels, instead of ``size``: the frame is squeezed into the one that
            is nearest to its proportions, averaging over the area when it shrinks.
        mean, std: per channel (RGB) of values in [0, 1]; the ImageNet ones by default.
        align_corners: for both resizings, of the picture to ``size`` and of the mask. To be as in the
            network: the released DMN weights want True (`DMNConfig.align_corners`).
    """

    size: int = 512
    shapes_hw: tuple[tuple[int, int], ...] = ()
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    align_corners: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be positive, got {self.size}")

    @classmethod
    def lite(cls, *shapes_hw: tuple[int, int]) -> Preprocessing:
        """What the lite network takes, (v - 127) / 128 of 0 to 255, in one of `LITE_SHAPES_HW` by default."""
        return cls(shapes_hw=shapes_hw or LITE_SHAPES_HW, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)

    def input_hw(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Input size for a frame's size."""
        height, width = size_hw
        if self.shapes_hw:
            return min(self.shapes_hw, key=lambda hw: abs(math.log(hw[0] / hw[1] * width / height)))
        scale = self.size / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def __call__(self, rgb: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
        """``(H, W, 3)`` uint8 RGB to the normalised ``(1, 3, h, w)`` float32."""
        frame_hw = (rgb.shape[0], rgb.shape[1])
        h, w = self.input_hw(frame_hw)
        if self.shapes_hw and frame_hw != (h, w):
            shrinks = h <= frame_hw[0] and w <= frame_hw[1]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            rgb = np.asarray(cv2.resize(rgb, (w, h), interpolation=how), np.uint8)
        planes = np.empty((1, 3, *rgb.shape[:2]), np.float32)
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            np.subtract(rgb[:, :, channel], np.float32(mean * 255), out=planes[0, channel])
            planes[0, channel] /= np.float32(std * 255)
        image = torch.from_numpy(planes).to(device)
        if image.shape[-2:] != (h, w):
            image = F.interpolate(image, (h, w), mode="bilinear", align_corners=self.align_corners)
        return image


@dataclass(frozen=True)
class SegmenterConfig:
    """How a frame becomes the network's input, and its output a mask.

    Attributes:
        preprocessing: the one that the network was trained with.
        largest_region: keep the largest of several separate regions of the mask: an expression means one
            object. On dev the mean IoU of the lite network's boxes rises by 0.13.
        refine_edges: move the mask's border to the edges of the picture, for networks with a coarse mask.
            On dev/davis the lite network's mean IoU rises by 0.01.
        views: the network knows which part of a picture it sees, and can be asked about one.
    """

    preprocessing: Preprocessing
    largest_region: bool = False
    refine_edges: bool = False
    views: bool = False


LITE = SegmenterConfig(Preprocessing.lite(), largest_region=True, refine_edges=True, views=True)
"""The configuration of the lite network. The published one keeps all positive pixels as they are."""

UNCALIBRATED = Calibration()
"""What a network without a calibration is given: the probability of its logit, the sigmoid."""


class DMNSegmenter:
    """Masks for an expression, frame by frame.

    Args:
        network: in evaluation mode; shared and only read.
        vocabulary: the one that the network was trained with.
        config: what is done before and after the network.
        calibration: raw score, a logit, to the probability that the IoU with the truth is above 0.5.
        device: where the network is.

    Attributes:
        at_once: pictures that one call of the network takes.
        finer: the same branch in a finer precision, for what a run may start on; None where this one is it.
    """

    finer: DMNSegmenter | None = None

    def __init__(
        self,
        network: GroundingNetwork,
        vocabulary: Vocabulary,
        config: SegmenterConfig,
        calibration: Callable[[float], float] = UNCALIBRATED,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.config = config
        self.calibration = calibration
        self.device = torch.device(device)
        self.at_once: int = 1 if self.device.type == "cpu" else getattr(network, "at_once", 1)

    @torch.inference_mode()
    def encode(self, text: str) -> EncodedText:
        """Read an expression; once per query, for all frames. UnreadableText when it is empty, all
        punctuation or unknown words, or over 500 characters."""
        ids = torch.tensor(self.vocabulary.read(text).ids, dtype=torch.int64, device=self.device)
        return self.network.encode(ids)

    def predict(
        self, looks: Sequence[Look], encoded: EncodedText, *, every_region: bool = False
    ) -> list[tuple[Float32Array, float]]:
        """Masks at frame size, ``(H, W)`` float32 in [0, 1], and raw scores, before calibration, of up to
        `at_once` frames, or views, of one size. A score is a logit: the network's own, or, where it has none
        (the published DMN), that of the mean probability over the positive pixels. ``every_region`` keeps all
        that is positive, whatever the configuration says. LangTrackError when the output is not finite."""
        return [self._finish(answer, every_region) for answer in self._ask(looks, encoded)]

    @torch.inference_mode()
    def _ask(self, looks: Sequence[Look], encoded: EncodedText) -> list[_Answer]:
        preprocessing, (height, width) = self.config.preprocessing, looks[0][0].size_hw
        views = [view or (slice(0, height), slice(0, width)) for _, view in looks]
        places = [(c.start / width, r.start / height, c.stop / width, r.stop / height) for r, c in views]
        parts = [frame.rgb[view] for (frame, _), view in zip(looks, views, strict=True)]
        images = [preprocessing(rgb, self.device) for rgb in parts]
        image = torch.cat(images) if len(images) > 1 else images[0]
        seen_in = (torch.tensor(places, device=self.device),) if self.config.views else ()
        logits, scores = self.network.segment(image, encoded, *seen_in)
        if not torch.isfinite(logits).all() or not (scores is None or torch.isfinite(scores).all()):
            raise LangTrackError(
                f"The language network gave no finite mask on frame {looks[0][0].index}; its weights are "
                "damaged or belong to another network."
            )
        given = [None] * len(looks) if scores is None else scores.flatten().tolist()
        return list(zip(looks, logits[:, 0].float().cpu(), given, strict=True))

    def _finish(self, answer: _Answer, every_region: bool) -> tuple[Float32Array, float]:
        (frame, view), logits, score = answer
        rgb = frame.rgb if view is None else frame.rgb[view]
        mask_prob = _enlarged_prob(logits, rgb.shape[:2], self.config.preprocessing.align_corners)
        if self.config.refine_edges:
            mask_prob = refine_edges(mask_prob, rgb)
        if self.config.largest_region and not every_region:
            mask_prob = _largest_region(mask_prob)
        if view is not None:
            seen, mask_prob = mask_prob, np.zeros(frame.size_hw, np.float32)
            mask_prob[view] = seen
        return mask_prob, _mask_logit(mask_prob) if score is None else score

    def segment(self, frame: Frame, encoded: EncodedText, *, every_region: bool = False) -> Estimate:
        """See `segment_all`."""
        return self.segment_all([(frame, None)], encoded, every_region=every_region)[0]()

    def segment_all(
        self, looks: Sequence[Look], encoded: EncodedText, *, every_region: bool = False
    ) -> list[Callable[[], Estimate]]:
        """What gives the estimates of frames, or views, of one size, absent where no pixel is positive; see
        `predict`. The network is asked here. A mask at frame size, a fifth of the work, is made, once, where
        it is called for: beside the network, when that is another thread."""

        def estimate(answer: _Answer) -> Estimate:
            mask_prob, score = self._finish(answer, every_region)
            return Estimate.from_mask(mask_prob, self.calibration(score))

        calls = (looks[i : i + self.at_once] for i in range(0, len(looks), self.at_once))
        return [cache(partial(estimate, answer)) for call in calls for answer in self._ask(call, encoded)]

    def look(self, frame: Frame, encoded: EncodedText, *, every_region: bool = False) -> Estimate:
        """What is meant in a picture by itself: the surest of the whole and of four closer views; with
        ``every_region`` beside all that is positive in the whole."""
        whole, closer = self.segment(frame, encoded, every_region=every_region), self.search(frame, encoded)
        if closer is None or (whole.box_xyxy is not None and closer.confidence <= whole.confidence):
            return whole
        mask_prob = np.maximum(whole.mask_prob, closer.mask_prob) if every_region else closer.mask_prob
        return Estimate.from_mask(mask_prob, closer.confidence)

    def search(self, frame: Frame, encoded: EncodedText) -> Estimate | None:
        """The surest estimate of four closer views of a frame, for what is small in the whole; None where no
        view shows anything whole, or the network takes no views."""
        sides = [(math.ceil(VIEW_SIDE * length), length) for length in frame.size_hw]
        rows, columns = ((slice(0, side), slice(length - side, length)) for side, length in sides)
        return self._surest(frame, encoded, [(row, column) for row in rows for column in columns])

    def look_around(self, frame: Frame, encoded: EncodedText, box_xyxy: FloatArray) -> Estimate | None:
        """The estimate of a closer view of what is around a small target; None where the target is large, the
        view does not show one whole, or the network takes no views."""
        size = np.array(frame.size_hw[::-1])
        target = (box_xyxy[2:] - box_xyxy[:2]) / size
        side = max(LEAST_SIDE, ROOM * float(target.max()))
        if side > VIEW_SIDE:
            return None
        corner = np.clip((box_xyxy[2:] + box_xyxy[:2]) / size / 2 - side / 2, 0, 1 - side)
        (left, top), (right, bottom) = (np.rint(size * at).astype(int) for at in (corner, corner + side))
        return self._surest(frame, encoded, [(slice(top, bottom), slice(left, right))])

    def _surest(self, frame: Frame, encoded: EncodedText, views: Sequence[View]) -> Estimate | None:
        looks = [(frame, view) for view in views if self.config.views]
        seen = zip((later() for later in self.segment_all(looks, encoded)), views, strict=False)
        found = [e for e, v in seen if e.box_xyxy is not None and _is_whole(e.box_xyxy, v, frame.size_hw)]
        return max(found, key=lambda estimate: estimate.confidence, default=None)


def _is_whole(box_xyxy: FloatArray, view: View, size_hw: tuple[int, int]) -> bool:
    """Whether a box ends before the borders of the view, but for those of the frame."""
    ends = zip(box_xyxy[[1, 0]], box_xyxy[[3, 2]], view, size_hw, strict=True)
    return all(
        (low > part.start + 1 or not part.start) and (high < part.stop - 1 or part.stop == length)
        for low, high, part, length in ends
    )


def _enlarged_prob(logits: Tensor, size_hw: tuple[int, int], align_corners: bool) -> Float32Array:
    """Logits ``(h, w)``, bilinearly to ``(H, W)``, as probabilities."""
    if align_corners:
        prob = F.interpolate(logits[None, None], size_hw, mode="bilinear", align_corners=True)[0, 0].numpy()
    else:  # the same in one thread: PyTorch's threads would wait for each other beside the other branch
        resized = cv2.resize(logits.numpy(), size_hw[::-1], interpolation=cv2.INTER_LINEAR)
        prob = np.asarray(resized, np.float32)
    np.negative(prob, out=prob)
    with np.errstate(over="ignore"):  # infinity is what makes the 0
        np.exp(prob, out=prob)
    prob += 1
    return np.reciprocal(prob, out=prob)


def _largest_region(mask_prob: Float32Array) -> Float32Array:
    """Every other region comes down to the threshold: no longer positive, but still to be seen as a guess.

    Regions nearer than `MAX_GAP` are one."""
    positive = binarise(prob_to_u8(mask_prob))
    reach = 1 + int(MAX_GAP * max(positive.shape))
    regions = cv2.dilate(positive.view(np.uint8), np.ones((reach, reach), np.uint8)).view(bool)
    largest = largest_component(regions)
    if largest is not regions:
        mask_prob[positive & ~largest] = POSITIVE_ABOVE / 255
    return mask_prob


def _mask_logit(mask_prob: Float32Array) -> float:
    """Logit of the mean probability over the positive pixels, as of probability 0 when there are none."""
    positive = mask_prob[binarise(prob_to_u8(mask_prob))]
    mean = float(positive.mean(dtype=np.float64)) if positive.size else 0.0
    mean = min(max(mean, 1e-6), 1 - 1e-6)  # finite at 0 and 1
    return math.log(mean / (1 - mean))
