"""The segmenter: preprocessing, one expression for many frames, scores, threads, damaged networks."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from langtrack_core.dmn.network import DMN, DMNConfig
from langtrack_core.dmn.segmenter import DMNSegmenter, Preprocessing, SegmenterConfig
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.types import Frame, LangTrackError

VOCABULARY = Vocabulary(("the", "red", "green", "dog", "<unk>"), "plain")
SQUARE = Preprocessing(shapes_hw=((32, 32),), mean=(0.0,) * 3, std=(1.0,) * 3)
PLAIN = SegmenterConfig(SQUARE)


class ColourNetwork(nn.Module):
    """Segments what is red, or green, by the last word; logits at half the input's size."""

    def __init__(self, score=None):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(40.0))
        self.score = score
        self.encoded = 0
        self.views = []
        self.calls = []

    def encode(self, ids):
        self.encoded += 1
        return ids[-1] - 1

    def segment(self, image, channel, *view):
        assert torch.is_inference_mode_enabled()
        self.views += view
        logits = self.scale * (image[:, channel.item()][:, None] - 0.5)
        self.calls.append(len(image))
        return F.avg_pool2d(logits, 2), None if self.score is None else torch.tensor([self.score])


def frame_with(colour, box_xyxy, size_hw=(64, 96), index=0):
    rgb = np.zeros((*size_hw, 3), np.uint8)
    x1, y1, x2, y2 = box_xyxy
    rgb[y1:y2, x1:x2] = colour
    return Frame(index, index / 25, rgb)


# --- preprocessing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size_hw", "expected"),
    [((480, 854), (288, 512)), ((854, 480), (512, 288)), ((512, 512), (512, 512)), ((1, 2000), (1, 512)),
     ((1, 1), (512, 512)), ((90, 160), (288, 512)), ((333, 500), (341, 512))],
)  # fmt: skip
def test_longest_side_becomes_512_and_the_proportions_stay(size_hw, expected):
    image = Preprocessing()(np.zeros((*size_hw, 3), np.uint8))
    assert image.shape == (1, 3, *expected)
    assert image.dtype == torch.float32


def test_published_preprocessing_is_bilinear_and_imagenet_normalised():
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    planes = Preprocessing(size=120)(rgb)[0]
    resized = cv2.resize(rgb.astype(np.float32) / 255, (120, 90), interpolation=cv2.INTER_LINEAR)
    expected = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(planes.permute(1, 2, 0), expected, atol=1e-4)


def test_aligned_corners_keep_the_corner_pixels():
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    preprocessing = Preprocessing(size=21, mean=(0, 0, 0), std=(1, 1, 1), align_corners=True)
    image = preprocessing(rgb)[0] * 255
    np.testing.assert_allclose(image[:, 0, -1], rgb[0, -1], atol=1e-3)
    np.testing.assert_allclose(image[:, -1, 0], rgb[-1, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("size_hw", "expected"),
    [((360, 640), (256, 448)), ((480, 640), (288, 384)), ((500, 480), (320, 320)), ((640, 480), (384, 288)),
     ((1920, 1080), (448, 256)), ((1, 2000), (256, 448)), ((20, 21), (320, 320))],
)  # fmt: skip
def test_the_lite_network_takes_the_shape_nearest_to_the_frames(size_hw, expected):
    look = Preprocessing.lite()
    assert look.input_hw(size_hw) == expected
    assert look(np.zeros((*size_hw, 3), np.uint8)).shape == (1, 3, *expected)


def test_squeeze_averages_when_it_shrinks():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    image = SQUARE(rgb)[0].permute(1, 2, 0) * 255
    blocks = rgb.reshape(32, 2, 32, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(image, blocks, atol=0.51)  # rounded to whole values


@pytest.mark.parametrize("rgb", [np.zeros((8, 6, 3), np.uint8)[::-1, :, ::-1], np.zeros((4, 9, 3), np.uint8)])
def test_any_memory_layout_and_any_small_size(rgb):
    assert SQUARE(rgb).shape == (1, 3, 32, 32)


def test_a_side_without_pixels_is_refused():
    with pytest.raises(ValueError, match="size"):
        Preprocessing(0)


# --- segmenting --------------------------------------------------------------------------------------------


def test_mask_has_frame_size_and_follows_the_expression():
    segmenter = DMNSegmenter(ColourNetwork(), VOCABULARY, PLAIN)
    frame = frame_with((255, 0, 0), (24, 16, 60, 40))
    estimate = segmenter.segment(frame, segmenter.encode("the red"))
    assert estimate.mask_prob.shape == (64, 96)
    assert estimate.mask_prob.dtype == np.float32
    np.testing.assert_allclose(estimate.box_xyxy, (24, 16, 60, 40), atol=4)
    assert estimate.confidence > 0.9
    absent = segmenter.segment(frame, segmenter.encode("the green"))
    assert absent.box_xyxy is None
    assert absent.confidence < 0.01


def test_language_is_read_once_for_many_frames():
    network = ColourNetwork()
    segmenter = DMNSegmenter(network, VOCABULARY, PLAIN)
    encoded = segmenter.encode("The red striped dog, red")
    for i in range(5):
        segmenter.segment(frame_with((255, 0, 0), (24, 16, 60, 40), index=i), encoded)
    assert network.encoded == 1
    read = segmenter.vocabulary.read("The red striped dog, red")
    assert read.words == ("the", "red", "striped", "dog", "red")
    assert read.unknown == ("striped",)


@pytest.mark.parametrize("text", ["", "  ", "?!", "x" * 2000, "xyzzy"])
def test_bad_expressions_never_reach_the_network(text):
    network = ColourNetwork()
    with pytest.raises(LangTrackError):
        DMNSegmenter(network, VOCABULARY, PLAIN).encode(text)
    assert network.encoded == 0


def test_raw_score_without_a_logit_is_that_of_the_mean_probability():
    segmenter = DMNSegmenter(ColourNetwork(), VOCABULARY, PLAIN)
    frame = frame_with((160, 0, 0), (24, 16, 60, 40))
    [(mask_prob, raw_score)] = segmenter.predict([(frame, None)], segmenter.encode("red"))
    positive = mask_prob[np.rint(mask_prob * 255) > 128]
    assert 0.5 < positive.mean() < 1
    assert 1 / (1 + np.exp(-raw_score)) == pytest.approx(positive.mean(), abs=1e-5)
    assert segmenter.segment(frame, segmenter.encode("red")).confidence == pytest.approx(
        positive.mean(), abs=1e-5
    )


def test_a_networks_own_logit_is_calibrated():
    frame = frame_with((255, 0, 0), (24, 16, 60, 40))
    plain = DMNSegmenter(ColourNetwork(score=-1.5), VOCABULARY, PLAIN)
    assert plain.segment(frame, plain.encode("red")).confidence == pytest.approx(1 / (1 + np.exp(1.5)))
    halved = DMNSegmenter(ColourNetwork(score=-1.5), VOCABULARY, PLAIN, lambda raw: 0.5 + raw / 10)
    assert halved.segment(frame, halved.encode("red")).confidence == pytest.approx(0.35)
    huge = DMNSegmenter(ColourNetwork(score=-1e6), VOCABULARY, PLAIN)
    assert huge.segment(frame, huge.encode("red")).confidence == 0


@pytest.mark.parametrize("bad", [ColourNetwork(score=float("nan")), ColourNetwork()])
def test_damaged_weights_are_named_not_drawn(bad):
    if bad.score is None:
        bad.scale.data.fill_(torch.nan)
    segmenter = DMNSegmenter(bad, VOCABULARY, PLAIN)
    with pytest.raises(LangTrackError, match="frame 7"):
        segmenter.segment(frame_with((255, 0, 0), (24, 16, 60, 40), index=7), segmenter.encode("red"))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 200), (300, 2), (31, 33)])
def test_odd_frame_sizes(size_hw):
    segmenter = DMNSegmenter(ColourNetwork(), VOCABULARY, PLAIN)
    frame = Frame(0, 0.0, np.full((*size_hw, 3), (255, 0, 0), np.uint8))
    estimate = segmenter.segment(frame, segmenter.encode("red"))
    np.testing.assert_array_equal(estimate.box_xyxy, (0, 0, size_hw[1], size_hw[0]))


# --- with the published network ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    sizes = {"embedding": 6, "hidden": 6, "filters": 2, "mixed": 8, "mixed_hidden": 8}
    network = DMN(DMNConfig(len(VOCABULARY), **sizes, batch_statistics=True)).eval()
    vocabulary = Vocabulary(VOCABULARY.words, "published")
    return DMNSegmenter(network, vocabulary, SegmenterConfig(Preprocessing(size=64)))


def noise_frame(seed):
    return Frame(0, 0.0, np.random.default_rng(seed).integers(0, 256, (45, 80, 3), dtype=np.uint8))


def test_threads_share_one_network_and_give_what_each_gives_alone(published):
    before = {name: tensor.clone() for name, tensor in published.network.state_dict().items()}
    jobs = [
        ([(noise_frame(i), None)], published.encode(text))
        for i, text in enumerate(["the red dog", "green"] * 2)
    ]
    alone = [published.predict(*job)[0][0] for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: published.predict(*job)[0][0], jobs))
    for a, b in zip(alone, together, strict=True):
        assert a.shape == (45, 80)
        np.testing.assert_array_equal(a, b)
    for name, tensor in published.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_blanks_reach_the_published_network_as_unk(published):
    assert published.encode("red dog").embedded.shape == (3, 6)


def test_of_several_regions_the_largest_is_kept_where_the_configuration_says_so():
    rgb = np.zeros((60, 80, 3), np.uint8)
    rgb[10:40, 5:35, 0] = 255  # the larger one
    rgb[10:30, 50:65, 0] = 255
    frame = Frame(0, 0.0, rgb)
    segmenter = DMNSegmenter(ColourNetwork(), VOCABULARY, SegmenterConfig(SQUARE, largest_region=True))
    encoded = segmenter.encode("red")
    both = segmenter.segment(frame, encoded, every_region=True)
    one = segmenter.segment(frame, encoded)
    assert both.mask[18, 57] and not one.mask[18, 57]
    assert one.mask_u8[18, 57] == 128  # a guess still to be seen, no longer positive
    assert one.box_xyxy[2] < 45 < both.box_xyxy[2]
    np.testing.assert_array_equal(one.mask[:, :45], both.mask[:, :45])


# --- closer views ------------------------------------------------------------------------------------------


class SizedNetwork(ColourNetwork):
    """Is as sure of a mask as it is large."""

    def segment(self, image, channel, *view):
        logits, _ = super().segment(image, channel, *view)
        return logits, 100 * (logits > 0).float().mean((1, 2, 3)) - 3


WITH_VIEWS = SegmenterConfig(SQUARE, views=True)


def test_a_view_is_segmented_where_it_lies_and_the_network_knows_where():
    segmenter = DMNSegmenter(ColourNetwork(), VOCABULARY, WITH_VIEWS)
    frame = frame_with((255, 0, 0), (24, 16, 60, 40))
    view = slice(8, 48), slice(0, 72)
    [(mask_prob, _)] = segmenter.predict([(frame, view)], segmenter.encode("red"))
    assert segmenter.network.views[0].tolist() == [pytest.approx([0, 8 / 64, 72 / 96, 48 / 64])]
    assert mask_prob.shape == (64, 96) and not mask_prob[48:].any() and not mask_prob[:, 72:].any()
    [later] = segmenter.segment_all([(frame, view)], segmenter.encode("red"))
    assert later() is later()  # made once, whoever asks
    np.testing.assert_allclose(later().box_xyxy, (24, 16, 60, 40), atol=2)


def test_a_search_takes_the_surest_view_that_shows_the_thing_whole():
    segmenter = DMNSegmenter(SizedNetwork(), VOCABULARY, WITH_VIEWS)
    frame = frame_with((255, 0, 0), (62, 30, 70, 36), size_hw=(100, 150))  # small, in both upper views
    frame.rgb[90:100, 0:50, 0] = 255  # at the border of the frame, which cuts nothing
    found = segmenter.search(frame, segmenter.encode("red"))
    np.testing.assert_allclose(found.box_xyxy, (0, 90, 50, 100), atol=4)
    assert len(segmenter.network.views) == 4
    assert segmenter.search(frame_with((255, 0, 0), (40, 28, 56, 36)), segmenter.encode("green")) is None


def test_of_a_picture_by_itself_the_surest_of_the_whole_and_closer_views_counts():
    segmenter = DMNSegmenter(SizedNetwork(), VOCABULARY, WITH_VIEWS)
    encoded = segmenter.encode("red")
    small = frame_with((255, 0, 0), (10, 6, 30, 16))  # larger in a closer view, so the network is surer
    large = frame_with((255, 0, 0), (10, 6, 90, 60))  # cut by every closer view
    closer = segmenter.look(small, encoded)
    assert closer.confidence > segmenter.segment(small, encoded).confidence
    np.testing.assert_allclose(closer.box_xyxy, (10, 6, 30, 16), atol=2)
    assert segmenter.look(large, encoded).confidence == segmenter.segment(large, encoded).confidence
    small.rgb[50:60, 70:90, 0] = 255
    small.rgb[50:60, 70:90, 1:] = 0
    assert segmenter.look(small, encoded, every_region=True).mask[[10, 55], [20, 80]].all()


def test_several_pictures_in_a_call_give_what_each_gives_alone():
    segmenter = DMNSegmenter(SizedNetwork(), VOCABULARY, WITH_VIEWS)
    encoded = segmenter.encode("red")
    frames = [frame_with((255, 0, 0), (10 * i, 6, 10 * i + 20, 26), index=i) for i in range(5)]
    looks = [(frame, None) for frame in frames] + [(frames[0], (slice(0, 48), slice(8, 80)))]
    alone = [segmenter.segment_all([look], encoded)[0] for look in looks]
    searched = segmenter.search(frames[0], encoded)
    segmenter.at_once, segmenter.network.calls = 4, []
    together = segmenter.segment_all(looks, encoded)
    assert segmenter.network.calls == [4, 2]
    for one, other in ((one(), other()) for one, other in zip(together, alone, strict=True)):
        np.testing.assert_allclose(one.mask_prob, other.mask_prob, atol=1e-6)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-6)
    np.testing.assert_array_equal(segmenter.search(frames[0], encoded).box_xyxy, searched.box_xyxy)
    assert segmenter.network.calls == [4, 2, 4]


def test_a_processor_is_asked_about_one_picture_at_a_time_and_another_device_about_several():
    network = ColourNetwork()
    network.at_once = 8
    counts = [
        DMNSegmenter(network, VOCABULARY, PLAIN, device=name).at_once for name in ("cpu", "cuda", "mps")
    ]
    assert counts == [1, 8, 8]
    assert DMNSegmenter(ColourNetwork(), VOCABULARY, PLAIN, device="cuda").at_once == 1


def test_what_every_view_cuts_is_not_found():
    segmenter = DMNSegmenter(SizedNetwork(), VOCABULARY, WITH_VIEWS)
    frame = frame_with((255, 0, 0), (10, 30, 90, 36))
    assert segmenter.search(frame, segmenter.encode("red")) is None


def test_a_network_without_views_is_not_asked_for_them():
    segmenter = DMNSegmenter(ColourNetwork(), VOCABULARY, PLAIN)
    assert segmenter.search(frame_with((255, 0, 0), (24, 16, 60, 40)), segmenter.encode("red")) is None
    assert segmenter.network.views == []


def test_around_a_small_target_the_view_is_four_times_as_long_and_stays_in_the_frame():
    segmenter = DMNSegmenter(SizedNetwork(), VOCABULARY, WITH_VIEWS)
    encoded = segmenter.encode("red")
    frame = frame_with((255, 0, 0), (90, 10, 102, 16), size_hw=(100, 120))
    found = segmenter.look_around(frame, encoded, np.array([92.0, 8.0, 104.0, 18.0]))
    np.testing.assert_allclose(found.box_xyxy, (90, 10, 102, 16), atol=2)
    x1, y1, x2, y2 = segmenter.network.views[0][0].tolist()
    assert (x1, y1, x2, y2) == (pytest.approx(0.6, abs=0.02), 0, 1, pytest.approx(0.4, abs=0.02))


def test_a_large_target_needs_no_closer_view():
    segmenter = DMNSegmenter(SizedNetwork(), VOCABULARY, WITH_VIEWS)
    frame = frame_with((255, 0, 0), (20, 10, 60, 40))
    assert segmenter.look_around(frame, segmenter.encode("red"), np.array([20.0, 10.0, 60.0, 40.0])) is None
    assert segmenter.network.views == []
