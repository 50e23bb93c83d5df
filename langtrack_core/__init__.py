"""LangTrack: follow an object through a video by describing it.

video file -> `Frame` -> two branches, each giving an `Estimate` -> `fuse` -> `Step` -> pictures and files.
"""
