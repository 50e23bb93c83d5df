"""Sentences made from the annotations of photos."""

import numpy as np
import pytest

from langtrack_lab.expressions.photos import (
    AnnotatedObject,
    describe_in_photo,
    mirror,
    name_with_noise,
    shorten,
)
from langtrack_lab.expressions.words import being, category_of, needed_things, untold

GREY = np.full((80, 120, 3), 128, np.uint8)


def block(x, y, w, h):
    mask = np.zeros(GREY.shape[:2], bool)
    mask[y : y + h, x : x + w] = True
    return mask


def sentences_of(rgb, objects, index, count=60):
    rng = np.random.default_rng(0)
    return {s for s in (describe_in_photo(rng, rgb, objects, index) for _ in range(count)) if s}


def test_two_of_a_category_are_told_apart_by_place_and_size():
    dogs = [AnnotatedObject("dog", block(5, 20, 20, 20)), AnnotatedObject("dog", block(80, 20, 35, 35))]
    left, right = sentences_of(GREY, dogs, 0), sentences_of(GREY, dogs, 1)
    assert left and right and not left & right
    small, big = ("small", "little", "tiny", "farthest"), ("big", "larg", "closest")
    assert all(any(word in s for word in ("left", *small)) for s in left)
    assert all(any(word in s for word in ("right", *big)) for s in right)


def test_a_colour_of_two_cars_does_not_single_one_out():
    rgb = GREY.copy()
    cars = [AnnotatedObject("car", block(5, 20, 20, 20)), AnnotatedObject("car", block(60, 20, 20, 20))]
    rgb[cars[0].mask], rgb[cars[1].mask] = (200, 30, 30), (40, 80, 190)
    assert "the red car" in sentences_of(rgb, cars, 0, 200)
    rgb[cars[1].mask] = (200, 30, 30)
    for text in sentences_of(rgb, cars, 0, 200):
        assert "red" not in text or "left" in text


def test_clothes_have_the_colour_of_their_part_of_a_person():
    rgb = GREY.copy()
    rgb[10:40, 20:40], rgb[40:70, 20:40] = (200, 30, 30), (40, 80, 190)
    texts = sentences_of(rgb, [AnnotatedObject("person", block(20, 5, 20, 70))], 0, 300)
    assert any("red shirt" in text for text in texts) and any("blue jeans" in text for text in texts)
    assert not any("blue shirt" in text or "red jeans" in text for text in texts)


def test_twins_at_one_place_get_no_sentence():
    dogs = [AnnotatedObject("dog", block(40, 20, 20, 20)), AnnotatedObject("dog", block(42, 22, 20, 20))]
    assert sentences_of(GREY, dogs, 0) == set()


def test_where_others_may_be_unlabelled_a_lone_object_gets_its_name_alone():
    dog = AnnotatedObject("dog", block(5, 20, 20, 20), category_complete=False)
    texts = sentences_of(GREY, [dog], 0, 200)
    assert texts and not any("left" in text or "small" in text or "grey" in text for text in texts)
    other = AnnotatedObject("dog", block(80, 20, 20, 20), category_complete=False)
    assert sentences_of(GREY, [dog, other], 0) == set()


def test_an_object_that_may_have_twins_gets_no_sentence():
    assert sentences_of(GREY, [AnnotatedObject("dog", block(5, 20, 20, 20), ambiguous=True)], 0) == set()


def test_human_sentences_come_first():
    described_dog = AnnotatedObject(
        "dog", block(5, 20, 20, 20), sentences=("the good boy",), category_complete=False
    )
    assert "the good boy" in sentences_of(GREY, [described_dog], 0)


def test_a_person_is_named_by_what_only_they_hold():
    people = [AnnotatedObject("person", block(x, 20, 20, 40)) for x in (5, 80)]
    objects = [*people, AnnotatedObject("umbrella", block(0, 15, 30, 15))]
    with_umbrella, without = sentences_of(GREY, objects, 0), sentences_of(GREY, objects, 1)
    assert any("umbrella" in s for s in with_umbrella) and not any("umbrella" in s for s in without)


def test_a_name_gets_an_article_a_verb_of_its_kind_and_a_trailing_phrase():
    rng = np.random.default_rng(0)
    names = {name_with_noise(rng, "pony", "horse") for _ in range(100)}
    assert {"pony", "a pony", "the pony"} < names
    assert any("eating" in text for text in names) and not any("parked" in text for text in names)


def test_mirror_swaps_the_sides():
    assert mirror("the leftmost dog to the right") == "the rightmost dog to the left"
    assert mirror("left, the man's right hand") == "right, the man's left hand"
    assert mirror("the boy right behind the one on the right") == "the boy right behind the one on the left"


def test_a_shortened_sentence_keeps_its_head():
    rng = np.random.default_rng(0)
    texts = {shorten(rng, "the man with a hat on a horse") for _ in range(100)}
    assert texts == {"the man with a hat on a horse", "the man with a hat", "the man"}


@pytest.mark.parametrize(
    ("sentence", "category"),
    [("the big motorbike on the road", "motorcycle"), ("a man on a horse", "person"), ("a violin", None)],
)
def test_the_first_known_noun_of_a_sentence_counts(sentence, category):
    assert category_of(sentence) == category


@pytest.mark.parametrize(
    ("sentence", "needed"),
    [
        ("the skier jumping in the air", [{"skis"}, {"jumping"}]),
        ("the deer in front", [{"deer"}]),
        ("a biker, next to a dog.", [{"bicycle", "motorcycle"}, {"dog"}]),
        ("the man without an umbrella", []),
        ("the tall man", []),
    ],
)
def test_what_a_sentence_needs(sentence, needed):
    assert needed_things(sentence) == frozenset(map(frozenset, needed))


def test_what_no_sentence_of_a_photo_tells():
    lacking = untold(["A man jogs, a fox beside him.", "the man in red"])
    assert {"running", "fox"}.isdisjoint(lacking) and {"jumping", "swimming", "deer"} <= lacking


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("the runner in yellow", "person"),
        ("a brown dog", "animal"),
        ("the deer", "animal"),
        ("a red car", None),
    ],
)
def test_people_and_animals_are_beings(sentence, kind):
    assert being(sentence) == kind
