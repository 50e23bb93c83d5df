"""Phrases that fit one object of a picture, whatever the picture is."""

import numpy as np
import pytest

from langtrack_lab.expressions.grammar import PLACES_AS_DEPTH, ObjectDescription, Phrase, refer, sentence
from langtrack_lab.place_words import PLACE_ADJECTIVES, PLACE_PHRASES
from langtrack_lab.training.words import PLACE_LOGITS


def thing(noun="car", x=0.5, y=0.5, area=100, colour=None, category=None, **more):
    nouns = (noun,) if isinstance(noun, str) else noun
    return ObjectDescription(category or nouns[0], nouns, (x, y), area, (colour,), **more)


def phrases(target, *others, depth=False):
    rng = np.random.default_rng(0)
    sentences = (refer(rng, target, others, depth=depth) for _ in range(150))
    return {f"{phrase.name} {phrase.place}".strip() for phrase in sentences if phrase}


def test_the_only_one_is_named_by_its_noun_and_now_and_then_by_its_place():
    assert phrases(thing()) == {"car", "car in the middle", "car in the center", "car in the centre"}
    assert phrases(thing(x=0.5, y=0.9)) == {"car"}  # neither left nor right nor in the middle
    assert any("left" in phrase for phrase in phrases(thing(x=0.2)))


def test_two_of_a_category_are_told_apart_by_colour():
    red = phrases(thing(colour="red"), thing(colour="blue"))
    assert "red car" in red and "car that is red" in red and "car" not in red
    assert not phrases(thing(colour="red"), thing(colour="red"))
    assert not phrases(thing(colour="red"), thing(colour=None))  # the other one may be red too


def test_an_object_that_can_be_called_the_same_is_a_rival():
    car, truck = thing(("car", "vehicle")), thing(("truck", "vehicle"))
    assert "car" in phrases(car, truck) and "vehicle" not in phrases(car, truck)
    assert "vehicle" in phrases(car)


def test_an_object_of_the_same_category_is_a_rival_by_any_noun():
    eagle, bird = thing(("bird", "bald eagle"), category="bird"), thing("bird")
    assert phrases(eagle, bird) == set()


def test_place_among_two():
    left, right = phrases(thing(x=0.2), thing(x=0.6)), phrases(thing(x=0.6), thing(x=0.2))
    assert left == {"left car", *(f"car {words}" for words in PLACE_PHRASES["left"])}
    assert right == {phrase.replace("left", "right") for phrase in left}
    assert phrases(thing(x=0.5), thing(x=0.55)) == set()  # too near to each other


def test_place_in_the_middle_of_three():
    others = thing(x=0.2), thing(x=0.8)
    middle = phrases(thing(x=0.5), *others)
    assert middle == {
        *(f"car {words}" for words in PLACE_PHRASES["middle"]),
        *(f"{word} car" for word in PLACE_ADJECTIVES["middle"]),
    }
    assert phrases(thing(x=0.5), *others, thing(x=0.35)) == set()


@pytest.mark.parametrize(("y", "place"), [(0.2, "top"), (0.8, "bottom")])
def test_place_above_and_below(y, place):
    assert phrases(thing(y=y), thing(y=0.5)) == {f"car {words}" for words in PLACE_PHRASES[place]}


def test_size_needs_a_clear_difference_and_comparatives_need_a_pair():
    assert phrases(thing(area=150), thing(area=100)) == set()
    big = phrases(thing(area=200), thing(area=100))
    assert {"biggest car", "bigger car"} <= big and all("car" in phrase for phrase in big)
    of_three = phrases(thing(area=50), thing(area=100), thing(area=100))
    assert "smallest car" in of_three and "smaller car" not in of_three


def test_words_for_near_and_far_need_a_picture_with_depth():
    low, other = thing(y=0.9, area=300), thing(y=0.5)
    assert not {"closest car", "car in front"} & phrases(low, other)
    assert {"closest car", "car in front"} <= phrases(low, other, depth=True)


def test_colour_and_place_work_together():
    target = thing(x=0.2, colour="red")
    others = thing(x=0.8, colour="red"), thing(x=0.1, colour="blue")
    result = phrases(target, *others)
    assert "left red car" in result and "red car on the left" in result
    assert all("red" in phrase for phrase in result)  # the blue one is further left


def test_what_people_wear_has_the_colour():
    clothes = (("shirt",), ("trousers",))

    def person(*colours):
        return ObjectDescription("person", ("man",), (0.5, 0.5), 100, colours, clothes)

    result = phrases(person("red", "black"), person("red", "blue"))
    assert result and all("trousers" in phrase for phrase in result)
    assert {"man in red", "man in a red shirt"} <= phrases(person("red", None))


def test_relations_fit_alone():
    kite = "person flying a kite"
    assert phrases(thing("man", relations=(kite,)), thing("man")) == {kite}


def test_a_nameless_object_gets_no_phrase():
    assert refer(np.random.default_rng(0), ObjectDescription("", (), (0.5, 0.5), 100), []) is None


def test_a_sentence_has_an_article_and_some_noise():
    rng = np.random.default_rng(0)
    texts = {sentence(rng, Phrase("dog", "on the left"), ["running"], ["on the grass"]) for _ in range(300)}
    assert {"dog on the left", "a dog on the left", "the dog running on the left on the grass"} <= texts
    assert "the dog on the left running" in texts


def test_articles():
    rng = np.random.default_rng(0)
    assert {sentence(rng, Phrase("red one", definite=True)) for _ in range(50)} == {"red one", "the red one"}
    assert "an eagle" in {sentence(rng, Phrase("eagle")) for _ in range(50)}


def test_place_words_that_training_starts_with_are_words_of_the_sentences():
    wordings = [*PLACE_PHRASES.values(), *PLACE_ADJECTIVES.values(), *PLACES_AS_DEPTH.values()]
    assert set(PLACE_LOGITS) <= {word for words in wordings for phrase in words for word in phrase.split()}
