"""Video in and out: look at a file, decode it frame by frame, write it.

Everything a video can hold becomes ``(H, W, 3)`` uint8 RGB, upright, one frame in memory at a time:

- *Rotation and mirroring* in the metadata (display matrix, EXIF) are applied, so width, height and boxes
  belong to the picture that a player shows. Coordinates are stored pixels, also where these are not square.
- *Time* is each frame's own time stamp, so a variable frame rate stays what it is.
- *Colour*: the matrix and range of the file; without a tag BT.709 for HD and BT.601 below, as players do.
  10 bit becomes 8 bit, grey three equal channels; HDR (PQ, HLG) gets the brightness of sRGB.
- *Alpha* is composited over black. (VP8 and VP9 keep alpha in a side stream that is not decoded: there the
  colours below the alpha are shown.)

A folder of pictures, a single picture and an animated one (GIF, APNG, WebP, TIFF of several pages; told by
their content) are videos as well. Pictures deeper than 8 bits are scaled by the range of the whole clip.
Interlaced video is read as it is. `VideoInfo.notes` say which of this matters.
"""

from .reader import VideoInfo, probe, read_frames
from .writer import VideoWriter

__all__ = ["VideoInfo", "VideoWriter", "probe", "read_frames"]
