"""The mean of two trainings' weights: ``python scripts/mean_weights.py ONE OTHER [--share 0.3] --out DIR``.

Where the second training went on from the first one's weights, their mean often does better than either
(Wortsman et al., "Model soups", arXiv:2203.05482). Calibration and ranges for int8 are left out, since
those are of one training alone: `calibrate` and `quantise` make them anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import Checkpoint
from langtrack_lab.training.checkpoints import save_weights

OF_ONE_TRAINING = ("calibration", "ranges")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one", type=Path, help="folder of a training")
    parser.add_argument("other", type=Path, help="folder of another one of the same network")
    parser.add_argument("--share", type=float, default=0.5, help="of ONE in the mean, from 0 to 1")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if not 0 <= args.share <= 1:
        raise SystemExit(f"--share must be from 0 to 1, got {args.share:g}.")
    paths = sorted(args.one.glob("*.safetensors"))
    if not paths:
        raise SystemExit(f"{args.one} has no *.safetensors, which a training leaves in its --out.")
    for path in paths:
        try:
            one, other = Checkpoint.read(path), Checkpoint.read(args.other / path.name)
        except LangTrackError as error:
            raise SystemExit(str(error)) from error
        shapes = [{name: value.shape for name, value in c.tensors.items()} for c in (one, other)]
        if shapes[0] != shapes[1]:
            raise SystemExit(f"{other.path} is of another network than {one.path}.")
        mean = {
            name: args.share * value.float() + (1 - args.share) * other.tensors[name].float()
            if value.is_floating_point()
            else value
            for name, value in one.tensors.items()
        }
        metadata = {k: v for k, v in one.metadata.items() if k not in OF_ONE_TRAINING}
        save_weights(args.out / path.name, mean, metadata)


if __name__ == "__main__":
    main()
