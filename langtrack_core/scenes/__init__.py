"""Rendered scenes with exact truth: the example clips, and extra training data for words of colour and place.

seed -> `build_stage` (background) + actors -> `film` -> `Scene` -> `referring_expressions`. Needs numpy and cv2 only.
"""

from .expressions import pick_expression, referring_expressions
from .film import Actor, Camera, Scene, SceneObject, film, random_camera, random_look, render_scene
from .stages import build_stage

__all__ = [
    "Scene", "SceneObject", "render_scene", "referring_expressions", "pick_expression", "film", "Actor", "Camera", "random_camera", "random_look",
    "build_stage",
]  # fmt: skip
