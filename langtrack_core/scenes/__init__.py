"""Rendered scenes with exact truth: the example clips, and extra training data for colour and place words.

seed -> `build_stage` and actors -> `film` -> `Scene` -> `referring_expressions`. Needs numpy and cv2 only.
"""

from .casting import make_actor, random_camera, random_look, render_scene
from .expressions import pick_expression, referring_expressions
from .film import Scene, SceneObject, film
from .stages import build_stage

__all__ = [
    "Scene", "SceneObject", "render_scene", "referring_expressions", "pick_expression",
    "build_stage", "make_actor", "random_camera", "random_look", "film",
]  # fmt: skip
