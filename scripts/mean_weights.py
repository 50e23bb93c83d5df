"""The mean of two trainings' language weights: ``python scripts/mean_weights.py ONE OTHER --out DIR``.

Where the second training went on from the first one's weights, their mean often does better than either
(Wortsman et al., "Model soups", arXiv:2203.05482). Calibration and ranges for int8 are left out, since
those are of one training alone: `calibrate` and `quantise` make them anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from langtrack_lab.training.language_network import load_branch, save_branch, untrained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one", type=Path, help="folder of a training")
    parser.add_argument("other", type=Path, help="folder of another one of the same network")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    network, other = untrained()[0], untrained()[0]
    load_branch(network, args.one)
    load_branch(other, args.other)
    for name, mean in network.state_dict().items():
        if mean.is_floating_point():  # the others count batches
            mean.add_(other.state_dict()[name]).div_(2)
    save_branch(network, args.out)


if __name__ == "__main__":
    main()
