"""Renders moving objects on a background, with shadows, a moving camera, motion blur and sensor noise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.masks import BoolMask

from .backgrounds import Background
from .film import Film, develop
from .objects import OBJECTS, Style
from .sprites import draw_sprite, sprite_foot

Pixels = NDArray[np.uint8]
SHUTTER = 0.4
"""Share of the time between two frames during which the camera's shutter is open, which blurs what moves."""

SUPERSAMPLE = 2.0
"""Pixels of a drawing to a pixel of the picture, so that the warp into the picture stays sharp."""

SIZE_STEP = 1.12
"""Ratio of the sizes that an object is drawn in. The warp makes up for the rest, at most 6 %."""

PHASE_STEPS = 16
"""Number of phases of its cycle that an object is drawn in."""

TURN_STEP_DEG = 15
"""Degrees between the turns towards the light that an object is drawn in."""


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene and where it can be seen.

    Attributes:
        category: "car", "dog", ...
        colour: its name, a key of `colours.COLOURS`.
        masks: per frame, ``(H, W)`` bool, the part that nothing hides.
    """

    category: str
    colour: str
    masks: list[BoolMask]


@dataclass(frozen=True)
class Scene:
    """Rendered frames, ``(H, W, 3)`` uint8 RGB each, and the objects in them."""

    frames: list[Pixels]
    objects: list[SceneObject]


@dataclass(frozen=True)
class MovingObject:
    """One object, its looks and its path, before the scene is rendered.

    Attributes:
        category: key of `OBJECTS`.
        colour: its name, a key of `colours.COLOURS`.
        foot_xy: ``(n_frames, 2)`` where it touches the ground, pixels of the picture with the camera at rest.
        height_px: ``(n_frames,)`` height in pixels.
        style: how it is drawn.
        faces_right: ``(n_frames,)`` bool.
        turn_deg: ``(n_frames,)`` rotation about its middle.
        phase: ``(n_frames,)`` radians of its walking, flapping or rolling cycle.
        on_ground: casts a shadow (or a reflection) at its foot.
        defocus_px: standard deviation of its blur when it is out of focus.
    """

    category: str
    colour: str
    foot_xy: NDArray[np.floating]
    height_px: NDArray[np.floating]
    style: Style
    faces_right: NDArray[np.bool_]
    turn_deg: NDArray[np.floating]
    phase: NDArray[np.floating]
    on_ground: bool = True
    defocus_px: float = 0.0


@dataclass(frozen=True)
class Camera:
    """Where the camera looks at each frame, and the light, lens and sensor of the whole scene.

    Attributes:
        shift_xy: ``(n_frames, 2)`` pixels that the picture moves by.
        roll_deg: ``(n_frames,)``.
        zoom: ``(n_frames,)``, 1 at rest.
        light_xy: unit vector towards the light, pixels to the right and down.
        exposure: factor of the brightness.
        tint: factor of each of red, green, blue.
        blur_px: standard deviation of the lens blur.
        noise_std: standard deviation of the sensor's noise, in grey levels.
        shadow: how much of the light a shadow takes, 0 to 1.
        film: makes the picture look filmed; None leaves it as it is rendered.
    """

    shift_xy: NDArray[np.floating]
    roll_deg: NDArray[np.floating]
    zoom: NDArray[np.floating]
    light_xy: tuple[float, float] = (-0.5, -0.866)
    exposure: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur_px: float = 0.5
    noise_std: float = 3.0
    shadow: float = 0.4
    film: Film | None = None


@dataclass
class _Sprites:
    """Drawings of one object, each made once: by size, phase, facing, and direction of the light."""

    item: MovingObject
    light_xy: tuple[float, float]
    cache: dict[tuple[int, int, bool, int], tuple[Pixels, float]] = field(default_factory=dict)

    def at(self, t: int) -> tuple[Pixels, float]:
        """The drawing for frame t and its height in sprite pixels."""
        item = self.item
        exact_height = float(np.clip(item.height_px[t] * SUPERSAMPLE, 24, 900))
        step = round(np.log(exact_height) / np.log(SIZE_STEP))
        phase = float(item.phase[t]) if OBJECTS[item.category].phase_rates else 0.0
        mirrored = bool(item.faces_right[t])
        turn = round(float(item.turn_deg[t]) / TURN_STEP_DEG)  # the light does not turn with the object
        phase_step = round(phase / (2 * np.pi) * PHASE_STEPS) % PHASE_STEPS
        key = (step, phase_step, mirrored, turn % (360 // TURN_STEP_DEG))
        if key not in self.cache:
            height = SIZE_STEP**step
            angle = np.radians(TURN_STEP_DEG * turn)
            x, y = (-self.light_xy[0] if mirrored else self.light_xy[0]), self.light_xy[1]
            light = (
                float(np.cos(angle) * x + np.sin(angle) * y),
                float(np.cos(angle) * y - np.sin(angle) * x),
            )
            self.cache[key] = (
                draw_sprite(item.category, replace(item.style, phase=phase), height, light),
                height,
            )
        return self.cache[key]


def render(
    rng: np.random.Generator,
    background: Background,
    objects: list[MovingObject],
    camera: Camera,
    size_hw: tuple[int, int],
) -> Scene:
    """Renders the objects in their order: later ones hide earlier ones."""
    height, width = size_hw
    sprites = [_Sprites(item, camera.light_xy) for item in objects]
    masks: list[list[BoolMask]] = [[] for _ in objects]
    frames = []
    previous: list[NDArray[np.floating]] | None = None
    for t in range(len(camera.zoom)):
        view = _camera_matrix(camera, t, size_hw)
        to_world = np.array([[1, 0, -background.pad], [0, 1, -background.pad], [0, 0, 1]], np.float64)
        warped = cv2.warpAffine(
            background.rgb,
            (view @ to_world)[:2],
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        picture = warped.astype(np.uint8, copy=False)
        feet = [(view @ [*item.foot_xy[t], 1.0])[:2] for item in objects]
        for item, sprite in zip(objects, sprites, strict=True):
            if item.on_ground:
                _ground_contact(picture, sprite, t, view, background, camera)
        visible: list[BoolMask] = []
        for i, (item, sprite) in enumerate(zip(objects, sprites, strict=True)):
            ahead = min(t + 1, len(item.foot_xy) - 1)
            motion = feet[i] - previous[i] if previous is not None else item.foot_xy[ahead] - item.foot_xy[t]
            mask = _paste(picture, sprite, t, view, np.asarray(motion) * SHUTTER)
            for other in visible:
                other &= ~mask
            visible.append(mask)
        for of_object, mask in zip(masks, visible, strict=True):
            of_object.append(mask)
        frames.append(_expose(rng, picture, camera))
        previous = feet
    scene_objects = [
        SceneObject(item.category.removesuffix(" from above"), item.colour, of_object)
        for item, of_object in zip(objects, masks, strict=True)
    ]
    return Scene(frames, scene_objects)


def _camera_matrix(camera: Camera, t: int, size_hw: tuple[int, int]) -> NDArray[np.floating]:
    """3x3 from picture coordinates at rest to the picture of frame t."""
    height, width = size_hw
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D(
        (width / 2, height / 2), float(camera.roll_deg[t]), float(camera.zoom[t])
    )
    matrix[:2, 2] += camera.shift_xy[t]
    return matrix


def _sprite_matrix(
    sprite: _Sprites, t: int, drawn_px: float, squash: float = 1.0, shear: float = 0.0
) -> NDArray[np.floating]:
    """3x3 from sprite pixels to picture coordinates at rest; squash and shear (for shadows) keep the foot."""
    item = sprite.item
    foot_x, foot_y = sprite_foot(item.category, drawn_px)
    scale = float(item.height_px[t]) / drawn_px
    mirror = -1.0 if item.faces_right[t] else 1.0
    angle = np.radians(float(item.turn_deg[t]))
    c, s = np.cos(angle), np.sin(angle)
    to_middle = np.array([[1, 0, -foot_x], [0, 1, drawn_px / 2 - foot_y], [0, 0, 1]])
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    to_foot = np.array([[1, 0, 0], [0, 1, -drawn_px / 2], [0, 0, 1]])
    bend = np.array([[mirror * scale, shear * scale, 0], [0, squash * scale, 0], [0, 0, 1]])
    place = np.array([[1, 0, item.foot_xy[t, 0]], [0, 1, item.foot_xy[t, 1]], [0, 0, 1]])
    return place @ bend @ to_foot @ turn @ to_middle


def _patch(
    picture: Pixels, rgba: Pixels, matrix: NDArray[np.floating], grow: int
) -> tuple[tuple[int, int, int, int], Pixels] | None:
    """A sprite warped into the part x1, y1, x2, y2 of the picture it touches; None when it is all outside."""
    rows, columns = rgba.shape[:2]
    corners = matrix[:2] @ np.array([[0, columns, columns, 0], [0, 0, rows, rows], [1, 1, 1, 1]], np.float64)
    left, top = np.floor(corners.min(axis=1)) - grow
    right, bottom = np.ceil(corners.max(axis=1)) + grow
    x1, y1 = max(int(left), 0), max(int(top), 0)
    x2, y2 = min(int(right), picture.shape[1]), min(int(bottom), picture.shape[0])
    if x2 - x1 < 1 or y2 - y1 < 1:
        return None
    local = matrix[:2].copy()
    local[:, 2] -= (x1, y1)
    return (x1, y1, x2, y2), np.asarray(
        cv2.warpAffine(rgba, local, (x2 - x1, y2 - y1), flags=cv2.INTER_LINEAR)
    )


def _paste(
    picture: Pixels,
    sprite: _Sprites,
    t: int,
    view: NDArray[np.floating],
    motion_xy: NDArray[np.floating],
) -> BoolMask:
    """Draws one object into the picture, in place; gives its whole (not yet hidden) mask."""
    mask = np.zeros(picture.shape[:2], bool)
    rgba, drawn_px = sprite.at(t)
    length = float(np.hypot(*motion_xy))
    placed = _patch(picture, rgba, view @ _sprite_matrix(sprite, t, drawn_px), int(np.ceil(length)))
    if placed is None:
        return mask
    (x1, y1, x2, y2), patch = placed
    if length > 1.2:
        streak = cv2.filter2D(patch, -1, _streak(motion_xy), borderType=cv2.BORDER_CONSTANT)
        patch = streak.astype(np.uint8, copy=False)
    if sprite.item.defocus_px:
        patch = cv2.GaussianBlur(patch, (0, 0), sprite.item.defocus_px).astype(np.uint8, copy=False)
    below = picture[y1:y2, x1:x2]
    keep = cv2.merge([255 - patch[..., 3]] * 3)
    below[:] = cv2.add(patch[..., :3], cv2.multiply(below, keep, scale=1 / 255))
    mask[y1:y2, x1:x2] = patch[..., 3] > 127
    return mask


def _streak(motion_xy: NDArray[np.floating]) -> NDArray[np.float32]:
    """Kernel of a straight movement during the exposure."""
    half = int(np.ceil(np.abs(motion_xy).max() / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    ends = np.rint((np.array([-0.5, 0.5])[:, None] * motion_xy[None] + half) * 16).astype(int)
    cv2.line(kernel, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 1.0, 1, cv2.LINE_8, 4)
    return kernel / max(float(kernel.sum()), 1e-6)


def _ground_contact(
    picture: Pixels,
    sprite: _Sprites,
    t: int,
    view: NDArray[np.floating],
    background: Background,
    camera: Camera,
) -> None:
    """A reflection on water, a soft shadow elsewhere, in place."""
    rgba, drawn_px = sprite.at(t)
    height = float(sprite.item.height_px[t])
    if camera.film is not None:
        _contact_shade(picture, sprite, t, view, background.name == "lake")
    if background.name == "lake":
        placed = _patch(picture, rgba, view @ _sprite_matrix(sprite, t, drawn_px, squash=-0.7), 2)
        strength = 0.35
    elif sprite.item.category == "car from above":
        matrix = _sprite_matrix(sprite, t, drawn_px)
        matrix[:2, 2] -= np.array(camera.light_xy) * height * 0.12
        placed, strength = _patch(picture, rgba, view @ matrix, 4), camera.shadow
    else:
        shear = 0.9 * camera.light_xy[0]
        placed = _patch(
            picture, rgba, view @ _sprite_matrix(sprite, t, drawn_px, squash=0.22, shear=shear), 4
        )
        strength = camera.shadow
    if placed is None:
        return
    (x1, y1, x2, y2), patch = placed
    soft = max(0.8, height * 0.025)
    patch = cv2.GaussianBlur(patch, (0, 0), soft).astype(np.uint8, copy=False)
    below = picture[y1:y2, x1:x2]
    cover = (patch[..., 3:] * np.float32(strength / 255)).astype(np.float32)
    if background.name == "lake":
        below[:] = (below * (1 - cover) + patch[..., :3] * np.float32(strength * 0.75)).clip(0, 255)
    else:
        below[:] = below * (1 - cover)


def _contact_shade(
    picture: Pixels, sprite: _Sprites, t: int, view: NDArray[np.floating], on_water: bool
) -> None:
    """The dark below an object, where the sky's light does not reach, in place."""
    item = sprite.item
    x, y = (view @ [*item.foot_xy[t], 1.0])[:2]
    width = OBJECTS[item.category].width * float(item.height_px[t])
    reach = max(2.0, 0.035 * width)
    shade = np.zeros(picture.shape[:2], np.float32)
    centre = (round(x), round(y + (0 if on_water else -0.3 * reach)))
    cv2.ellipse(shade, centre, (round(0.44 * width), max(1, round(reach))), 0, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(shade, (0, 0), reach * 0.8)
    picture[:] = picture * (1 - 0.6 * soft[..., None])


def _expose(rng: np.random.Generator, picture: Pixels, camera: Camera) -> Pixels:
    """Lens blur, exposure, white balance and sensor noise."""
    if camera.blur_px > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), camera.blur_px).astype(np.uint8, copy=False)
    grain = rng.standard_normal(picture.shape[:2], dtype=np.float32)[..., None] * camera.noise_std
    light = picture * np.float32(np.multiply(camera.tint, camera.exposure))
    exposed = np.clip(light + grain, 0, 255).astype(np.uint8)
    return exposed if camera.film is None else develop(rng, exposed, camera.film)
