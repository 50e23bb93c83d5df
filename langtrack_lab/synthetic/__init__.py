"""Rendered scenes with exact truth: the example clips, and extra training data for colour and place words.

seed -> `build_stage` and actors -> `film` -> `Scene` -> `referring_expressions`. Needs numpy and cv2 only.
"""

from .backgrounds import build_stage
from .random_scene import make_actor, random_camera, random_look, render_scene
from .renderer import Scene, SceneObject, film

__all__ = [
    "Scene", "SceneObject", "render_scene", 
    "build_stage", "make_actor", "random_camera", "random_look", "film",
]  # fmt: skip
