"""What objects of photos are called, by their COCO category, and what people add to a name."""

from __future__ import annotations

from collections.abc import Iterable

# fmt: off
# The lists are long, and are read by line rather than by word.

NOUNS: dict[str, tuple[str, ...]] = {
    "person": (
        "person", "man", "woman", "boy", "girl", "guy", "lady", "human", "kid", "player", "child",
        "athlete", "gentleman", "adult", "teenager", "pedestrian", "runner", "jogger", "rider",
    ),
    "car": ("car", "vehicle", "automobile", "sedan"), "motorcycle": ("motorcycle", "motorbike", "bike"),
    "bicycle": ("bicycle", "bike", "cycle"), "airplane": ("airplane", "plane", "aircraft", "jet"),
    "truck": ("truck", "lorry", "vehicle"), "bus": ("bus", "coach"), "boat": ("boat", "ship", "vessel"),
    "couch": ("couch", "sofa"), "tv": ("tv", "television", "screen", "monitor"),
    "cell phone": ("cell phone", "phone", "mobile"), "cow": ("cow", "cattle", "bull"),
    "sheep": ("sheep", "lamb", "goat"), "dog": ("dog", "puppy"), "cat": ("cat", "kitten"),
    "bird": ("bird", "duck", "pigeon"), "sports ball": ("ball", "sports ball"),
    "dining table": ("table", "dining table"), "potted plant": ("potted plant", "plant"),
    "teddy bear": ("teddy bear", "teddy", "toy"), "wine glass": ("wine glass", "glass"),
    "cup": ("cup", "mug", "glass"), "laptop": ("laptop", "computer", "notebook"),
    "train": ("train", "locomotive"), "handbag": ("handbag", "bag", "purse"),
    "backpack": ("backpack", "bag"), "skis": ("skis", "pair of skis"),
    "refrigerator": ("refrigerator", "fridge"), "donut": ("donut", "doughnut"),
    "remote": ("remote", "remote control"),
}
"""Names of an object of a category, the plainest first; a category that is not listed is its own name."""

ROLES: dict[str, tuple[str, ...]] = {
    "skis": ("skier",), "snowboard": ("snowboarder",), "surfboard": ("surfer", "man surfing"),
    "skateboard": ("skateboarder", "skater", "boy skateboarding"), "tennis racket": ("tennis player",),
    "baseball bat": ("baseball player", "batter"), "baseball glove": ("baseball player", "catcher"),
    "bicycle": ("cyclist", "biker", "bike rider", "person riding a bike", "man on the bicycle"),
    "motorcycle": ("motorcyclist", "biker", "rider", "man riding a motorbike", "person on the motorcycle"),
    "horse": ("rider", "horse rider", "jockey", "person riding a horse", "man on the horse"),
    "sports ball": ("player", "football player"), "kite": ("person flying a kite", "man with a kite"),
    "elephant": ("person riding an elephant",), "bench": ("person sitting on the bench",),
    "chair": ("person sitting on the chair",), "couch": ("person sitting on the couch",),
    "laptop": ("person using a laptop", "person with the laptop"),
}
"""Names of a person who touches an object of the category."""

HELD = {
    "umbrella", "handbag", "backpack", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass",
    "cup", "fork", "knife", "spoon", "banana", "apple", "sandwich", "hot dog", "pizza", "donut", "cake",
    "laptop", "remote", "cell phone", "book", "teddy bear", "toothbrush", "tie", "scissors",
}
"""Categories that a person can hold or carry."""

DOING: dict[str, tuple[str, ...]] = {
    "person": (
        "walking", "standing", "running", "sitting", "jogging", "dancing", "playing", "riding",
        "jumping", "moving", "walking down the street", "looking at the camera", "playing with a ball",
    ),
    "vehicle": (
        "driving", "moving", "turning", "parked", "driving fast", "speeding", "drifting", "running",
        "moving fast", "in front of the camera",
    ),
    "animal": (
        "walking", "running", "standing", "eating", "lying", "moving", "playing", "sitting", "jumping",
        "looking around", "eating food", "playing with others", "walking among others",
    ),
    "thing": (
        "being held", "placed on the table", "moving", "held by a hand", "standing", "shown",
    ),
}
"""What an object may be doing, by its kind. Added at random: people use verbs that tell nothing apart."""

TRAILING = (
    "on the road", "on the street", "on the grass", "on the ground", "in the water", "on the beach",
    "in the field", "in the background", "in the picture", "near the tree", "next to the rocks",
    "in front of the building", "on the track", "in the air", "along the wall", "by the fence",
    "on the table", "in the room", "outdoors", "in the scene", "at the crossing", "along the sea",
    "on the snow", "around the bend", "among the others", "on the highway", "on the playground",
    "in the forest", "in the river", "in the yard", "on the floor", "in the sky", "on the stage",
    "at the side of the road", "in the park", "under the tree", "behind the fence", "along the track",
    "in the city", "on the sidewalk", "near the water", "in the garden", "over the hills",
)
"""Phrases at the end of a sentence, at random: people name what is around the object, which must not be
segmented."""

KINDS: dict[str, str] = {
    "person": "person",
    **dict.fromkeys(("car", "bus", "truck", "motorcycle", "bicycle", "train", "boat", "airplane"), "vehicle"),
    **dict.fromkeys(
        ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"), "animal"
    ),
}
"""Kinds of categories; every other category is a "thing"."""

GARMENTS = (
    ("shirt", "jacket", "top", "t shirt", "coat", "sweater", "hoodie", "dress", "jersey"),
    ("trousers", "pants", "jeans", "shorts", "skirt"),
)
"""What people wear above and below the waist."""

# fmt: on

PERSON_WORDS = {
    *NOUNS["person"], "people", "hiker", "dancer", "skier", "surfer", "windsurfer", "paraglider",
    "snowboarder", "skateboarder", "cyclist", "bicyclist", "motorcyclist", "biker", "jockey",
}  # fmt: skip
"""Words of a human sentence that say that it is about a person."""

_DEEDS = {
    "running": "run runs running runner runners jog jogs jogging jogger joggers sprint sprints sprinting",
    "jumping": "jump jumps jumping jumped jumper leap leaps leaping midair",
    "climbing": "climb climbs climbing climber climbers",
    "swimming": "swim swims swimming swimmer swimmers",
    "dancing": "dance dances dancing dancer dancers breakdancer ballerina",
    "skating": "skate skates skating skater skaters rollerblading rollerblader",
    "playing ball": "soccer football basketball baseball tennis volleyball rugby ball",
    "sitting": "sit sits sitting seated sat",
}
"""What somebody does, and the words that tell it."""

_RARE_ANIMALS = (
    "deer", "rhino", "rhinoceros", "hippo", "hippopotamus", "lion", "lioness", "tiger", "leopard", "cheetah",
    "fox", "wolf", "camel", "kangaroo", "panda", "monkey", "gorilla", "rabbit", "squirrel", "pig", "boar",
    "goat", "buffalo", "bison", "moose", "elk", "antelope", "llama", "otter", "lizard", "turtle", "frog",
    "snake", "crocodile",
)  # fmt: skip
"""Animals that COCO does not name, so that nobody looked for them."""

_TOLD = {
    **{word: deed for deed, words in _DEEDS.items() for word in words.split()},
    **{animal: animal for animal in _RARE_ANIMALS},
}

_NEEDED = {
    **{word: frozenset({told}) for word, told in _TOLD.items()},
    **{word: frozenset({word}) for word in (
        "skis", "snowboard", "surfboard", "skateboard", "bicycle", "motorcycle", "horse", "umbrella", "kite",
        "frisbee", "suitcase", "dog", "cat", "cow", "sheep", "elephant", "boat", "car", "bus", "truck",
    )},
    **dict.fromkeys(("ski", "skier", "skiing"), frozenset({"skis"})),
    **dict.fromkeys(("snowboarder", "snowboarding"), frozenset({"snowboard"})),
    **dict.fromkeys(("surfer", "surfing"), frozenset({"surfboard"})),
    **dict.fromkeys(("skateboarder", "skateboarding"), frozenset({"skateboard"})),
    **dict.fromkeys(("cyclist", "bicyclist"), frozenset({"bicycle"})),
    **dict.fromkeys(("motorcyclist", "motorbike", "motocross"), frozenset({"motorcycle"})),
    **dict.fromkeys(("bike", "bikes", "biker", "biking", "bmx"), frozenset({"bicycle", "motorcycle"})),
    **dict.fromkeys(("horseback", "jockey"), frozenset({"horse"})),
    **dict.fromkeys(("racket", "racquet"), frozenset({"tennis racket"})),
    "puppy": frozenset({"dog"}), "kitten": frozenset({"cat"}),
}  # fmt: skip
_NEGATIONS = frozenset({"no", "not", "without", "nobody", "isnt", "isn't", "doesn't", "nothing"})

_CATEGORY_OF_WORD = {
    **{word: category for category, names in reversed(NOUNS.items()) for word in names},
    **{category: category for category in KINDS},
    **dict.fromkeys(PERSON_WORDS, "person"),
}
"""The category that each known noun names; of several the first of `NOUNS`, and persons before all others."""


def needed_things(sentence: str) -> frozenset[frozenset[str]]:
    """Categories, deeds and rare animals of which each time one at least has to be in a picture for the
    sentence to be true of something there: nothing is "the skier" without skis. Empty for a sentence with a
    negation."""
    words = _words(sentence)
    return frozenset() if words & _NEGATIONS else frozenset(_NEEDED[word] for word in words & _NEEDED.keys())


def being(sentence: str) -> str | None:
    """What a sentence is about: "person", "animal", or None for anything else."""
    kind = KINDS.get(category_of(sentence) or "")
    if kind in ("person", "animal"):
        return kind
    return "animal" if _words(sentence).intersection(_RARE_ANIMALS) else None


def untold(sentences: Iterable[str]) -> frozenset[str]:
    """Deeds and rare animals of which no sentence tells."""
    words = frozenset[str]().union(*map(_words, sentences))
    return frozenset(_TOLD.values()) - {_TOLD[word] for word in words & _TOLD.keys()}


def _words(sentence: str) -> frozenset[str]:
    return frozenset(sentence.lower().replace(",", " ").replace(".", " ").split())


def category_of(sentence: str) -> str | None:
    """The COCO category that the first known noun of a sentence names; None when it has none."""
    words = sentence.lower().split()
    return next((_CATEGORY_OF_WORD[word] for word in words if word in _CATEGORY_OF_WORD), None)
