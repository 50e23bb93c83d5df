"""The tracker around a SiamMask network: crops, penalties, window, and the mask pasted back into the picture.

Arithmetic and constants are those of the published tracker (arXiv:1812.05050; github.com/foolwood/SiamMask,
tools/test.py), down to which sizes are rounded, so that published weights give published numbers. It does
not tell a pixel's centre from its corner, which leaves the crops up to a pixel off; and its rotated rectangle
runs through the centres of the outermost pixels, given as indices. Everything in an `Estimate` follows the
product's half-open convention instead.

The lite tracker adds seven things, which the published presets leave off: an `OnlineClassifier`, trained as
it tracks; a `BoxRegressor`, fitted to the first frame; masks refined to the edges of the picture; a box that
is corrected, so that it encloses the same parts of the target as the given one did; a box whose size changes
slowly; and when it is unsure, a look with the target as it last was, and at the rest of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..geometry import Float32Array, FloatArray, box_iou, clip_box, cxcywh_to_xyxy, xyxy_to_cxcywh
from ..masks import refine_edges
from ..types import Estimate, Frame, LangTrackError, check_box
from .box_regressor import BoxRegressor, blend_boxes
from .crops import crop, largest_region, paste, remap_threshold
from .network import GRID, SEARCH_SIZE, TEMPLATE_SIZE, WINDOW, SiamMask, Template, change_penalty, decode
from .online_classifier import OnlineClassifier, averaged


@dataclass(frozen=True)
class TrackerConfig:
    """How raw outputs become one choice per frame.

    Attributes:
        penalty_k: strength of the penalty on changes of size and ratio from the last frame.
        window_influence: weight, in [0, 1], of the cosine window against the penalised score.
        lr: how far the size follows the regressed one, times score and penalty; 1 follows most.
        mask_threshold: probability above which a pixel belongs to the target.
        context: margin around the target in the crops, as a share of width plus height.
        min_mask_area: masks with no region larger than this (pixels of the video) count as empty.
        classifier_weight: weight, in [0, 1], of the online classifier's score against the network's own.
        box_correction: in [0, 1], how far the mask's box is moved and stretched as it would have to be on the
            first frame to become the given box: a person with the kite, a car without its shadow.
        box_rate: in [0, 1], how far the size of the box follows the mask's from frame to frame; 1 at once.
        regressor_weight: in [0, 1], weight of the box regressor's box against the mask's, times its trust;
            only where a person drew the first one.
        regressor_rate: in [0, 1], how far the size of the search follows the box regressor's, times score.
        look_again: where the tracker is unsure, look with the target as it last was for sure, too; and when
            it is out of sight, in the rest of the picture.
        refine_edges: move the mask's border to the edges of the picture. The box stays that of the mask
            before: on dev the boxes' mean AUC fell from 0.813 to 0.808 with the refined one.
    """

    penalty_k: float
    window_influence: float
    lr: float
    mask_threshold: float
    context: float = 0.5
    min_mask_area: float = 100.0
    classifier_weight: float = 0.0
    box_correction: float = 0.0
    box_rate: float = 1.0
    regressor_weight: float = 0.0
    regressor_rate: float = 0.0
    look_again: bool = False
    refine_edges: bool = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            high = math.inf if name in ("penalty_k", "context", "min_mask_area") else 1.0
            if not 0.0 <= value <= high:
                raise LangTrackError(f"{name} must be in [0, {high:g}], got {value}.")


CONFIGS = {
    # The published configurations for the DAVIS and the VOT checkpoints.
    "davis": TrackerConfig(penalty_k=0.04, window_influence=0.4, lr=1.0, mask_threshold=0.35),
    "vot2018": TrackerConfig(penalty_k=0.10, window_influence=0.41, lr=0.32, mask_threshold=0.15),
    # Chosen on the dev sequences (docs/NOTEBOOK.md, V2 to V7), where a window influence of 0.3 to 0.5 and a
    # classifier weight of 0.5 to 0.85 hardly differ; the box regressor on training clips too (V8).
    "lite": TrackerConfig(
        penalty_k=0.08, window_influence=0.4, lr=0.25, mask_threshold=0.45,
        classifier_weight=0.7, box_correction=1.0, box_rate=0.5,
        regressor_weight=0.75, regressor_rate=0.5, look_again=True, refine_edges=True,
    ),
}  # fmt: skip
"""The settings of each set of weights, by the name that their `Network` or their file gives."""

FIRST_VIEWS = ((1.0, 0.0, False), (1.0, 0.0, True), (1.0, 2.0, False), (1.2, 0.0, False), (0.85, 0.0, True))
"""The online classifier is first trained on these views of the first frame: zoom, standard deviation of a
blur in pixels, and mirrored. One view alone would tie it to that exact size and sharpness."""

CORRECTION_ZOOMS = (0.9, 1.0, 1.1)
"""The box correction is the mean over these zooms of the first frame: one mask alone is a few pixels off,
which cost up to 0.045 of a clip's AUC."""

FAMILIAR_SCORE = 0.3
"""From this score of the online classifier on, the network's score counts in full; below, it shrinks in
proportion. On dev 95 % of the right masks have 0.42 or more, a look-alike behind a pole 0.15 to 0.25."""

LEAST_SCORE_TO_LEARN = 0.5
"""The online classifier learns from frames on which the network's score is above this probability."""

SURE_SCORE, RENEWED_EVERY = 0.8, 5
"""The recent template is taken from every fifth frame, if its raw score is above this."""

OUT_OF_SIGHT_SCORE = 0.2
"""Below this raw score, a probability, the target is not seen on a frame, with the first template."""

OUT_OF_SIGHT_FRAMES = 5
"""After so many frames in a row without it the target counts as out of sight, and one other part of the
picture is searched on each frame: a blur or a turn is over sooner."""

FOUND_SCORE = 0.6
"""Raw score from which a target that is seen elsewhere is taken for the one that was out of sight."""

PART_STEP = 0.5
"""Distance of the parts of the picture that are searched in turn, as a share of the side of a search."""


@dataclass(frozen=True)
class _Target:
    """The regressed and smoothed box, in pixels, around which the next frame is searched.

    ``box_wh`` is the size of the last mask's box, which the next one's follows; None before the first mask.
    """

    centre_xy: FloatArray
    size_wh: FloatArray
    box_wh: FloatArray | None = None


@dataclass
class _Learnt:
    """What is known of the target from the frame on which it was learnt.

    Attributes:
        recent: template of a later frame on which the tracker was sure.
        padding: the mean colour of that frame, which fills crops outside the picture.
        size_wh: of the target there, in pixels.
        exact: a person drew the box.
        correction: shift of the mask's box in shares of it, and the logarithms of its stretch.
    """

    template: Template
    padding: NDArray[np.uint8]
    size_wh: FloatArray
    exact: bool
    recent: Template | None = None
    classifier: OnlineClassifier | None = None
    regressor: BoxRegressor | None = None
    correction: FloatArray | None = None


class _View(NamedTuple):
    """What a look at a frame gives: what is seen, where the target would be then, and the raw score."""

    estimate: Estimate
    target: _Target
    score: float


class SiamMaskTracker:
    """Follows one target. The network is shared and only read; everything about the target lives here.

    Args:
        calibration: raw score to the probability that the IoU with the truth exceeds 0.5
            (`fusion.Calibration`); None takes the score for that probability.
        device: where the network is.
    """

    def __init__(
        self,
        network: SiamMask,
        config: TrackerConfig,
        calibration: Callable[[float], float] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network
        self.config = config
        self.calibration = calibration
        self.device = torch.device(device)
        self._learnt: _Learnt
        self._target: _Target | None = None
        self._frames = self._out_of_sight = 0  # since the target was learnt; in a row

    def init(self, frame: Frame, box_xyxy: ArrayLike, *, exact: bool = True) -> Estimate:
        """Learns the target from one frame, and gives what the tracker sees on that very frame.

        The next search starts from the given box.

        Args:
            box_xyxy: ``(4,)`` pixels, half-open; what lies outside the picture is cut off.
            exact: the box is drawn by a person, so that later ones should enclose the same parts; else it is
                an estimate, and the mask's own box is as good.

        Raises:
            LangTrackError: for a box without an area, or without any part in the picture; damaged weights.
        """
        self.reanchor(frame, box_xyxy, exact=exact)
        assert self._target is not None
        view = self._look(frame, self._target)
        self._target = replace(self._target, box_wh=view.target.box_wh)
        return view.estimate

    def reanchor(self, frame: Frame, box_xyxy: ArrayLike, *, exact: bool = False) -> None:
        """Forgets the target before and learns this one, without a look at the frame: its last estimate
        stands. Arguments and errors are those of `init`; mostly the box is an estimate."""
        inside = clip_box(check_box(box_xyxy, frame.size_hw), frame.size_hw)
        assert inside is not None
        box_cxcywh = xyxy_to_cxcywh(inside)
        centre, size = box_cxcywh[:2], np.maximum(box_cxcywh[2:], 2.0)
        padding = np.asarray(cv2.mean(frame.rgb)[:3]).astype(np.uint8)  # cut off, as published
        self._target = target = _Target(centre, size)
        self._frames = self._out_of_sight = 0
        template = self._template(frame, target, padding)
        self._learnt = learnt = _Learnt(template, padding, size, exact)

        def view(
            zoom: float, blur: float, shift_xy: ArrayLike = (0.0, 0.0), mirrored: bool = False
        ) -> Float32Array:
            """`averaged` features of this frame with the target in another size, sharpness or place."""
            side = round(self._search_side(size) / zoom)
            shifted = centre - np.multiply(shift_xy, side / SEARCH_SIZE)
            picture = crop(frame.rgb, shifted, side, SEARCH_SIZE, padding)
            if mirrored:
                picture = np.ascontiguousarray(picture[:, ::-1])
            if blur:
                picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.uint8)
            with torch.inference_mode():
                response = self.network.search(template, self._to_input(picture))
            return averaged(response.feature)

        if self.config.classifier_weight:
            views = [view(zoom, blur, mirrored=mirrored) for zoom, blur, mirrored in FIRST_VIEWS]
            side = float(np.sqrt(size.prod())) * SEARCH_SIZE / self._search_side(size)
            learnt.classifier = OnlineClassifier(views, side)
        if self.config.box_correction and exact:
            correction = self._measure_correction(frame, target, box_cxcywh)
            learnt.correction = self.config.box_correction * correction
        if self.config.regressor_rate or self.config.regressor_weight:
            learnt.regressor = BoxRegressor(view)

    def update(self, frame: Frame) -> Estimate:
        """Finds the target in the next frame.

        Returns:
            ``mask_prob`` is the network's probability, remapped so that the configured threshold falls where
            the product's masks become positive. The box and the rotated rectangle enclose the largest region
            of the mask, or are the regressed box when it is empty.
        """
        if self._target is None:
            raise LangTrackError("The tracker has no target yet: call init(frame, box_xyxy) before update.")
        learnt, view = self._learnt, self._look(frame, self._target)
        if view.score < OUT_OF_SIGHT_SCORE and learnt.recent is not None:
            view = max(view, self._look(frame, self._target, learnt.recent), key=lambda look: look.score)
        self._out_of_sight = self._out_of_sight + 1 if view.score < OUT_OF_SIGHT_SCORE else 0
        if self.config.look_again and self._out_of_sight >= OUT_OF_SIGHT_FRAMES:
            elsewhere = self._look(frame, self._next_part(frame, self._target))
            if elsewhere.score >= FOUND_SCORE:
                view, self._out_of_sight = elsewhere, 0
        self._target = view.target
        self._frames += 1
        if self.config.look_again and view.score > SURE_SCORE and self._frames % RENEWED_EVERY == 0:
            learnt.recent = self._template(frame, self._target, learnt.padding)
        return view.estimate

    def _template(self, frame: Frame, target: _Target, padding: NDArray[np.uint8]) -> Template:
        side = round(self._context_side(target.size_wh))
        picture = crop(frame.rgb, target.centre_xy, side, TEMPLATE_SIZE, padding)
        with torch.inference_mode():
            return self.network.template(self._to_input(picture))

    def _next_part(self, frame: Frame, target: _Target) -> _Target:
        """A target of the last size in the next part of the picture, row by row and again from the first."""
        side = self._search_side(target.size_wh)
        height, width = frame.size_hw
        columns, rows = (max(1, round(length / (PART_STEP * side))) for length in (width, height))
        row, column = divmod(self._out_of_sight % (rows * columns), columns)
        centre = np.array([(column + 0.5) * width / columns, (row + 0.5) * height / rows])
        return replace(target, centre_xy=centre)

    def _look(self, frame: Frame, before: _Target, template: Template | None = None) -> _View:
        """Searches around where the target was; gives what is seen, and where it is now."""
        learnt = self._learnt
        context_side = self._context_side(before.size_wh)
        scale = TEMPLATE_SIZE / context_side  # crop pixels per picture pixel
        side = round(SEARCH_SIZE / scale)
        picture = crop(frame.rgb, before.centre_xy, side, SEARCH_SIZE, learnt.padding)
        with torch.inference_mode():
            template = learnt.template if template is None else template
            response = self.network.search(template, self._to_input(picture))
            background, foreground = response.cls[0].reshape(2, -1).double().cpu().numpy()
            scores = 1 / (1 + np.exp(background - foreground))
            boxes = decode(response.loc[0].double().cpu().numpy())
            features, combined = averaged(response.feature), scores
            if learnt.classifier is not None:
                familiar = learnt.classifier.scores(features)
                weight = self.config.classifier_weight
                combined = (1 - weight) * scores + weight * np.resize(familiar.clip(0, 1), scores.shape)
            penalty = change_penalty(boxes, before.size_wh * scale, self.config.penalty_k)
            influence = self.config.window_influence
            best = int(np.argmax(penalty * combined * (1 - influence) + WINDOW * influence))
            row, column = divmod(best % (GRID * GRID), GRID)
            logits = self.network.refine(response, torch.tensor([[0, row, column]]))[0]
            mask = logits.float().sigmoid().cpu().numpy()
        if not all(np.isfinite(numbers).all() for numbers in (scores, boxes, mask)):
            raise LangTrackError(
                f"The tracker gave no finite numbers on frame {frame.index}; its weights are damaged."
            )

        score = network_score = float(scores[best])
        if learnt.classifier is not None:
            score *= min(1.0, max(0.0, float(familiar[row, column]) / FAMILIAR_SCORE))
            if network_score > LEAST_SCORE_TO_LEARN:
                learnt.classifier.learn(features, familiar, (row, column), boxes[:, best])
        follow = float(penalty[best]) * network_score * self.config.lr
        centre = before.centre_xy + boxes[:2, best] / scale
        size = before.size_wh * (1 - follow) + boxes[2:, best] / scale * follow
        mask = paste(mask, before.centre_xy - side / 2, side, row, column, frame.size_hw)
        height, width = frame.size_hw
        sized = None
        if learnt.regressor is not None:
            place, zoom, trust = learnt.regressor.correct(features, boxes[:2, best])
            sized_wh = learnt.size_wh * zoom * context_side / self._context_side(learnt.size_wh)
            sized = cxcywh_to_xyxy([*(before.centre_xy + place / scale), *sized_wh])
            larger = float(np.sqrt(sized_wh.prod() / size.prod()))
            size = size * larger ** (self.config.regressor_rate * score)
        centre = np.clip(centre, 0, (width, height))
        size = np.clip(size, 10, np.maximum((width, height), 10))
        regressed = cxcywh_to_xyxy([*centre, *size])
        estimate, box_wh = self._estimate(frame, mask, regressed, before.box_wh, score)
        if estimate.box_xyxy is not None and sized is not None and learnt.exact:
            box = blend_boxes(estimate.box_xyxy, sized, self.config.regressor_weight * trust)
            if (inside := clip_box(box, frame.size_hw)) is not None:  # else the mask's own: it is seen there
                estimate = replace(estimate, box_xyxy=inside)
        return _View(estimate, _Target(centre, size, box_wh), score)

    def _measure_correction(self, frame: Frame, target: _Target, box_cxcywh: FloatArray) -> FloatArray:
        """How far the mask's box is from the given one, see `_Learnt.correction`: the mean over
        `CORRECTION_ZOOMS`, without masks that are something else altogether."""
        changes = []
        for zoom in CORRECTION_ZOOMS:
            mask_box = self._look(frame, replace(target, size_wh=target.size_wh * zoom)).estimate.box_xyxy
            if mask_box is not None and box_iou(mask_box, cxcywh_to_xyxy(box_cxcywh)) > 0.1:
                x, y, w, h = xyxy_to_cxcywh(mask_box)
                changes.append([*(box_cxcywh[:2] - (x, y)) / (w, h), *np.log(box_cxcywh[2:] / (w, h))])
        return np.mean(changes, axis=0) if changes else np.zeros(4)

    def _context_side(self, size_wh: FloatArray) -> float:
        """Side of the square around the target that becomes the template, in picture pixels."""
        return float(np.sqrt(np.prod(size_wh + self.config.context * size_wh.sum())))

    def _search_side(self, size_wh: FloatArray) -> float:
        """Side of the square that is searched."""
        return SEARCH_SIZE / TEMPLATE_SIZE * self._context_side(size_wh)

    def _to_input(self, picture: NDArray[np.uint8]) -> Tensor:
        return self.network.preprocess(picture).to(self.device)

    def _estimate(
        self, frame: Frame, mask: Float32Array, box_xyxy: FloatArray, last_wh: FloatArray | None, score: float
    ) -> tuple[Estimate, FloatArray | None]:
        """The mask's own box, corrected, and its rotated rectangle; or ``box_xyxy``, the regressed one, where
        the mask is empty. And the size of the mask's box, or the last one."""
        region = largest_region(mask > self.config.mask_threshold, self.config.min_mask_area)
        if region is None:
            box = clip_box(box_xyxy, frame.size_hw)
            corners = None if box is None else box[[[0, 1], [2, 1], [2, 3], [0, 3]]]
        else:
            centre, size = np.split(xyxy_to_cxcywh(region[0]), 2)
            if self._learnt.correction is not None:
                centre = centre + self._learnt.correction[:2] * size
                size = size * np.exp(self._learnt.correction[2:])
            if last_wh is not None:  # smoothed over time
                size = last_wh * (size / last_wh) ** self.config.box_rate
            corrected, corners = cxcywh_to_xyxy([*centre, *size]), region[1]
            last_wh = xyxy_to_cxcywh(corrected)[2:]
            box = clip_box(corrected, frame.size_hw)
        mask = remap_threshold(mask, self.config.mask_threshold)
        if self.config.refine_edges:
            mask = refine_edges(mask, frame.rgb)
        confidence = score if self.calibration is None else self.calibration(score)
        return Estimate(mask, confidence, box, corners), last_wh
