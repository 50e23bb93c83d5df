"""Weights: one table of what there is, where it lies and what it must hash to; strict loading.

``lite`` lies in ``assets/weights``, its hashes in ``index.json`` there (written by ``weights seal`` after a
training). ``paper``, or any other name, is what the user adds (`weights_command`): a copy in
``<home>/weights/<name>/<branch>`` with an ``entry.json`` that holds the hashes. A checkpoint can also be used
where it lies. Nothing in a file is ever run.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from .types import LangTrackError

if TYPE_CHECKING:  # torch takes seconds to import, and `weights list` needs none of it
    from torch import nn

    from .dmn.segmenter import DMNSegmenter
    from .fusion import Calibration
    from .siammask.network import SiamMask
    from .siammask.tracker import TrackerConfig

SHIPPED = Path(__file__).parents[1] / "assets" / "weights"
Branch = Literal["lgm", "siam"]
T = TypeVar("T")


def home() -> Path:
    """Where the user's weights are kept: ``$LANGTRACK_HOME``, or ``~/.cache/langtrack``."""
    return Path(os.environ.get("LANGTRACK_HOME") or "~/.cache/langtrack").expanduser()


# --- the table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """An architecture that weights can be for.

    Attributes:
        branch: which branch it is.
        title: as a user would call it.
        mark: what a key of its checkpoints begins with, and no key of the others.
        settings: what decides the result and stands in no checkpoint: preprocessing, switches, tracker.
    """

    branch: Branch
    title: str
    mark: str
    settings: Mapping[str, Any]


NETWORKS = {
    # Preprocessing of both: RGB, (v - 127) / 128; the language branch squeezes the picture to a square.
    "dmn-lite": Network("lgm", "lite DMN", "comb_visual.", {"input_size": 320}),
    "siammask-lite": Network("siam", "lite SiamMask", "lateral8.", {"tracker": "lite"}),
    # RGB, ImageNet-normalised, longest side 512. The authors trained with PyTorch 0.2 to 0.4, where resizing
    # aligned the corners, and evaluated in training mode.
    "dmn": Network(
        "lgm",
        "published DMN (DPN-92)",
        "langvis.",
        {"input_size": 512, "recurrence": "published", "align_corners": True, "batch_statistics": True},
    ),
    # BGR, 0 to 255, not normalised.
    "siammask": Network(
        "siam", "published SiamMask (ResNet-50, sharp)", "features.features.", {"tracker": "davis"}
    ),
}


@dataclass(frozen=True)
class Entry:
    """Weights of one branch under a name.

    Attributes:
        name: what ``--weights`` takes.
        network: key of `NETWORKS`.
        folder: where the files are.
        files: file -> sha256, the checkpoint first; "" for a hash that is not known. Names within ``folder``,
            or full paths.
        licence, source: whose they are.
        settings: where they differ from the network's.
    """

    name: str
    network: str
    folder: Path
    files: Mapping[str, str]
    licence: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def branch(self) -> Branch:
        return NETWORKS[self.network].branch

    @property
    def checkpoint(self) -> Path:
        return self.folder / next(iter(self.files))

    @property
    def missing(self) -> list[str]:
        return [name for name in self.files if not (self.folder / name).is_file()]


_LITE_FILES = {
    "dmn-lite": (
        *("dmn-lite.safetensors", "dmn-lite-backbone.safetensors"),
        *("words-lite.safetensors", "words-lite.txt"),
    ),
    "siammask-lite": ("siammask-lite.safetensors",),
}
_LITE_LICENCE = "research, non-commercial (data: DAVIS CC BY-NC 4.0, COCO, ECSSD)"
_LITE_SOURCE = "this project; backbone EfficientNet-Lite0 and words from MiniLM, both Apache-2.0"

BRING_YOUR_OWN = {
    "dmn": ("code MIT, weights not stated", "github.com/BCV-Uniandes/DMS (its weight links are dead)"),
    "siammask": ("code MIT, weights not stated", "github.com/foolwood/SiamMask"),
}
"""Licence and source of the published weights, which a user may have and which are not shipped."""


def entries() -> list[Entry]:
    """All weights that are here: the shipped ones, then the user's by name and branch."""
    index = _read_json(SHIPPED / "index.json") if (SHIPPED / "index.json").is_file() else {}
    shipped = [
        Entry("lite", network, SHIPPED, {n: index.get(n, "") for n in names}, _LITE_LICENCE, _LITE_SOURCE)
        for network, names in _LITE_FILES.items()
    ]
    return shipped + [_user_entry(path) for path in sorted(home().glob("weights/[!.]*/[!.]*/entry.json"))]


def _user_entry(path: Path) -> Entry:
    stored = _read_json(path)
    try:
        entry = Entry(folder=path.parent, **{**stored, "files": dict(stored["files"])})
        if entry.network not in NETWORKS or not entry.files:
            raise ValueError(f"network {entry.network!r} with {len(entry.files)} files")
        return entry
    except (KeyError, TypeError, ValueError) as error:
        raise LangTrackError(f"{path} is damaged ({error}); add these weights again.") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} cannot be read ({error}); add or seal these weights again.") from error
    if not isinstance(value, dict):
        raise LangTrackError(f"{path} should hold a JSON object; add or seal these weights again.")
    return value


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check(entry: Entry) -> dict[str, str]:
    """The files' sha256, after comparing them with what they should be.

    Raises:
        LangTrackError: a file is missing or its hash is another.
    """
    if entry.missing:
        raise LangTrackError(
            f"The weights {entry.name} lack {', '.join(entry.missing)} in {entry.folder}; add them again."
        )
    found = {}
    for name, expected in entry.files.items():
        path = entry.folder / name
        found[path.name] = actual = sha256_of(path)
        if expected and actual != expected:
            raise LangTrackError(
                f"{path} is not what it was: its sha256 is {actual[:12]}…, expected {expected[:12]}…; "
                "add or copy it again."
            )
    return found


# --- loading -----------------------------------------------------------------------------------------------


class Branches(NamedTuple):
    """Both branches, ready to run.

    Attributes:
        segmenter: the language branch, its calibration inside.
        siam_network, siam_config, siam_calibration: what a `SiamMaskTracker` is made of.
        infos: for the manifest, one for each branch: branch, name, network, files with sha256, settings.
    """

    segmenter: DMNSegmenter
    siam_network: SiamMask
    siam_config: TrackerConfig
    siam_calibration: Calibration | None
    infos: tuple[dict[str, Any], ...]


def load_branches(name: str = "lite", device: str = "cpu") -> Branches:
    """Build both branches.

    Args:
        name: a name from `entries`, or the path of one branch's checkpoint. The branch that it does not have
            is the lite one; ``infos`` says so.
        device: as PyTorch names it.

    Raises:
        LangTrackError: no such weights or device, a missing, damaged or altered file, or another network's.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise LangTrackError(f"The device {device!r} cannot be used here; try cpu.") from error
    chosen = choose(name)
    infos = {
        branch: {
            "branch": branch,
            "name": entry.name,
            "network": entry.network,
            "files": check(entry),
            "settings": {**NETWORKS[entry.network].settings, **entry.settings},
        }
        for branch, entry in chosen.items()
    }
    segmenter = build_segmenter(chosen["lgm"], device)
    siam_network, siam_config, siam_calibration = build_siam(chosen["siam"], device)
    infos["siam"]["settings"] = asdict(siam_config)
    return Branches(segmenter, siam_network, siam_config, siam_calibration, tuple(infos.values()))


def choose(name: str) -> dict[Branch, Entry]:
    """The entry of each branch for a name or a file, lite where it has none."""
    here = entries()
    named = [entry for entry in here if entry.name == name]
    if not named and Path(name).is_file():
        named = [entry_of_file(Path(name))]
    if not named and name == "paper":
        raise LangTrackError(
            "No published weights are here; add yours with: "
            "python -m langtrack_core weights add SiamMask_DAVIS.pth"
        )
    if not named:
        known = ", ".join(dict.fromkeys(entry.name for entry in here))
        raise LangTrackError(f"There are no weights {name!r}; give one of {known}, or a file that exists.")
    lite: dict[Branch, Entry] = {entry.branch: entry for entry in here if entry.name == "lite"}
    return lite | {entry.branch: entry for entry in named}


def entry_of_file(path: Path, vocabulary: Path | None = None) -> Entry:
    """A checkpoint that lies anywhere, identified by its keys.

    Args:
        path: the checkpoint. Of a lite DMN the other files are the shipped ones, unless they lie beside it.
        vocabulary: for a published DMN, the words it was trained with.
    """
    network = identify(read_checkpoint(path)[0], path)
    names = [path.name]
    settings: dict[str, Any] = {}
    if network == "dmn-lite":
        names += [str(_beside(path, name)) for name in _LITE_FILES[network][1:]]
    elif network == "dmn":
        if vocabulary is None:
            raise LangTrackError(
                f"{path.name} is a published DMN, which needs its vocabulary; add both with: "
                f"python -m langtrack_core weights add {path.name} --vocabulary FILE"
            )
        names.append(str(vocabulary.resolve()))
    elif network == "siammask" and "vot" in path.name.lower():
        settings["tracker"] = "vot2018"  # the two published checkpoints have settings of their own
    folder = path.parent.resolve()
    licence, source = BRING_YOUR_OWN.get(network, (_LITE_LICENCE, "a training of this project"))
    return Entry(path.name, network, folder, dict.fromkeys(names, ""), licence, source, settings)


def _beside(path: Path, name: str) -> Path:
    return Path(name) if (path.parent / name).is_file() else SHIPPED / name


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What a ``.safetensors`` or PyTorch file holds, and its metadata; nothing in it is run.

    Raises:
        LangTrackError: it is missing, damaged, or holds anything but plain values and tensors.
    """
    import pickle

    import torch
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as stream:
                names = stream.keys()
                return {name: stream.get_tensor(name) for name in names}, stream.metadata() or {}
        with warnings.catch_warnings():  # PyTorch warns of an odd pickle before it refuses it
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise LangTrackError(f"There is no weights file {path}.") from error
    except (SafetensorError, pickle.UnpicklingError) as error:
        raise LangTrackError(
            f"{path} was refused: it is damaged, or holds more than plain tensors (nothing in it was run)."
        ) from error
    except Exception as error:  # torch.load fails in a dozen ways on bytes that are no checkpoint
        raise LangTrackError(f"{path} is not a weights file ({type(error).__name__}).") from error
    if not isinstance(loaded, Mapping):
        raise LangTrackError(f"{path} holds a {type(loaded).__name__}; a weights file holds tensors by name.")
    return dict(loaded), {}


def identify(state: Mapping[str, Any], path: Path) -> str:
    """Key in `NETWORKS` of the mark that the checkpoint has; LangTrackError when it has none."""
    inner = state.get("state_dict", state)
    keys = [str(key).removeprefix("module.") for key in inner] if isinstance(inner, Mapping) else []
    for network, known in NETWORKS.items():
        if any(key.startswith(known.mark) for key in keys):
            return network
    if "optimiser" in state:
        raise LangTrackError(
            f"{path} is a checkpoint to go on training from; use the .safetensors beside it."
        )
    titles = ", ".join(known.title for known in NETWORKS.values())
    raise LangTrackError(f"{path} is for none of the networks known here ({titles}).")


def build_siam(entry: Entry, device: str) -> tuple[SiamMask, TrackerConfig, Calibration | None]:
    """The tracker's network, filled strictly, with its settings."""
    from .siammask.network import LiteNetwork, PaperNetwork, convert_published
    from .siammask.tracker import CONFIGS

    state, metadata = read_checkpoint(entry.checkpoint)
    if entry.network == "siammask":
        network: SiamMask = PaperNetwork()
        state = convert_published(state)
    else:
        network = _made(LiteNetwork, metadata, entry)
    _fill(network, state, entry)
    settings = {**NETWORKS[entry.network].settings, **entry.settings}
    return network.eval().to(device), CONFIGS[settings["tracker"]], _calibration(metadata, entry)


def build_segmenter(entry: Entry, device: str) -> DMNSegmenter:
    """The language branch, filled strictly, with its vocabulary."""
    from .dmn.lite import LiteConfig, LiteDMN
    from .dmn.network import DMN, config_of, load_published
    from .dmn.segmenter import DMNSegmenter, Preprocessing
    from .dmn.vocabulary import Vocabulary

    settings = {**NETWORKS[entry.network].settings, **entry.settings}
    names = list(entry.files)
    state, metadata = read_checkpoint(entry.checkpoint)
    if entry.network == "dmn":
        switches = {key: settings[key] for key in ("recurrence", "align_corners", "batch_statistics")}
        published = DMN(config_of(state, **switches))
        load_published(published, state)
        network: DMN | LiteDMN = published
        vocabulary = Vocabulary.from_file(entry.folder / names[1], "published")
        look = Preprocessing("longest_side", settings["input_size"], align_corners=settings["align_corners"])
    else:
        backbone, table, words = (entry.folder / name for name in names[1:])
        vectors = read_checkpoint(table)[0]
        config = _made(LiteConfig, metadata, entry)
        network = LiteDMN(vectors["words"] / 127, vectors["classes"] / 127, config)
        _fill(network, read_checkpoint(backbone)[0] | state, entry)
        vocabulary = Vocabulary.from_file(words, "plain")
        look = Preprocessing("squeeze", settings["input_size"], (127 / 255,) * 3, (128 / 255,) * 3)
    return DMNSegmenter(network.to(device), vocabulary, look, _calibration(metadata, entry))


def _fill(network: nn.Module, state: Mapping[str, Any], entry: Entry) -> None:
    """Strictly: every key, no other, every shape; float16 on disk becomes the network's float32."""
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        problems = " ".join(str(error).split())
        raise LangTrackError(
            f"{entry.checkpoint} does not fit the {NETWORKS[entry.network].title}: {problems[:600]}"
        ) from error


def _made(make: Callable[..., T], metadata: Mapping[str, str], entry: Entry) -> T:
    """A network, or its configuration, of the sizes that stand in the checkpoint's metadata."""
    try:
        return make(**json.loads(metadata.get("arguments", "{}")))
    except (TypeError, ValueError, RuntimeError) as error:  # PyTorch refuses a size with a RuntimeError
        raise LangTrackError(f"{entry.checkpoint} has damaged metadata: {error}.") from error


def _calibration(metadata: Mapping[str, str], entry: Entry) -> Calibration | None:
    """Slope and intercept from the checkpoint's metadata; None where there are none."""
    if "calibration" not in metadata:
        return None
    from .fusion import Calibration

    try:
        slope, intercept = map(float, json.loads(metadata["calibration"]))
        return Calibration(slope, intercept)
    except (TypeError, ValueError) as error:
        raise LangTrackError(f"{entry.checkpoint} has damaged metadata: {error}.") from error
