"""Rendered scenes with exact masks: the example clips, and training data for words of colour and place.

``seed -> paint_background, moving_object -> render -> Scene``; sentences about a scene are made in
`langtrack_lab.expressions.scenes`. Needs numpy and cv2 only.
"""

from .backgrounds import paint_background
from .random_scene import moving_object, random_camera, random_style, render_random_scene
from .renderer import Scene, SceneObject, render

__all__ = [
    "Scene", "SceneObject", "render_random_scene",
    "paint_background", "moving_object", "random_camera", "random_style", "render",
]  # fmt: skip
