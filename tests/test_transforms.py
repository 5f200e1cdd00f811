"""The input pipeline against Pillow and plain loops; augmentation as a pure function."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from netdsl.diagnostics import DataError
from netdsl.runtime.philox import below, philox
from netdsl.runtime.transforms import TRANSFORMS, Pipeline, Prepared

IMAGES = np.random.default_rng(1).integers(0, 256, (5, 3, 9, 7)).astype(np.uint8)


def test_signatures_need_no_numpy():
    script = "import sys, netdsl.ops.transforms; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        (0, (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (2**64 - 1, (2**32 - 1,) * 4, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            0x299F31D0A4093822,
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(key, counter, expected):
    assert tuple(int(v) for v in philox(key, *counter)) == expected
    assert np.array_equal(philox(key, np.full(3, counter[0]), *counter[1:]), np.repeat(expected, 3).reshape(4, 3))


def test_below_covers_its_range_evenly():
    draws = below(philox(1, np.arange(90_000))[0], 9)
    assert np.all(np.abs(np.bincount(draws, minlength=9) / 10_000 - 1) < 0.05) and draws.max() == 8


def test_pad_scale_normalize_against_loops():
    steps = [
        ("pad", {"margin": [1, 2]}),
        ("scale", {"factor": 1 / 255}),
        ("normalize", {"mean": [0.1, 0.2, 0.3], "std": 0.5}),
    ]
    result = Pipeline(steps).apply(IMAGES)
    expected = np.zeros((5, 3, 11, 11))
    expected[:, :, 1:-1, 2:-2] = IMAGES / 255
    for c, mean in enumerate((0.1, 0.2, 0.3)):
        expected[:, c] = (expected[:, c] - mean) / 0.5
    assert result.dtype == np.float32 and np.allclose(result, expected, atol=1e-6)
    assert Pipeline(steps).output_shape((3, 9, 7)) == (3, 11, 11)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20))
def test_resize_is_pillows_bilinear(height, width):
    result = Pipeline([("resize", {"height": height, "width": width})]).apply(IMAGES)
    for image, pixels in zip(result.reshape(15, height, width), IMAGES.reshape(15, 9, 7), strict=True):
        expected = Image.fromarray(pixels.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        assert np.allclose(image, np.asarray(expected), atol=1e-3)


def test_a_sample_does_not_depend_on_its_batch():
    pipeline = Pipeline([("resize", {"height": [5, 11]}), ("normalize", {"mean": 120, "std": 60})])
    whole = pipeline.apply(IMAGES)
    assert all(np.array_equal(whole[i], pipeline.apply(IMAGES[i : i + 1])[0]) for i in range(5))
    kept, by_batch = Prepared(IMAGES, pipeline), Prepared(IMAGES, pipeline, keep_bytes=0)
    rows = np.array([3, 0, 3])
    assert np.array_equal(kept.batch(rows), whole[rows]) and np.array_equal(by_batch.batch(rows), whole[rows])
    assert kept.shape == (3, 5, 11) and len(kept) == 5


def test_nothing_is_changed_in_place():
    before = IMAGES.copy()
    floats = IMAGES.astype(np.float32)
    for name, arguments in (("scale", {"factor": 2}), ("normalize", {"mean": 1, "std": 2}), ("pad", {"margin": 0})):
        Pipeline([(name, arguments)]).apply(IMAGES)
        Pipeline([(name, arguments)]).apply(floats)
    Pipeline([("flip", {}), ("shift", {"pixels": 2})]).augment(floats, np.arange(5), seed=0, epoch=0)
    assert np.array_equal(IMAGES, before) and np.array_equal(floats, before)


def test_json_comes_back_exactly():
    pipeline = Pipeline(
        [("scale", {"factor": 1 / 255}), ("normalize", {"mean": (0.1, 1 / 3), "std": 1e-7}), ("flip", {})]
    )
    back = Pipeline.from_json(pipeline.to_json())
    assert back == pipeline and back.steps == pipeline.steps and json.loads(pipeline.to_json())
    assert Pipeline.from_json("[]") == Pipeline()


@pytest.mark.parametrize(
    "text", ["", "{}x", "3", "[3]", '[["scale"]]', '[["nope", {}]]', '[["scale", {"factor": 1e999}]]', "[" * 100_000]
)
def test_json_that_is_damaged(text):
    with pytest.raises(DataError):
        Pipeline.from_json(text)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (("scal", {}), "did you mean `scale`"),
        (("scale", {}), "`scale` needs `factor`"),
        (("scale", {"factor": "x"}), "must be a finite number"),
        (("scale", {"factor": float("nan")}), "finite"),
        (("scale", {"factr": 1}), "did you mean `factor`"),
        (("normalize", {"mean": 0, "std": 0}), "positive"),
        (("normalize", {"mean": [], "std": 1}), "one per channel"),
        (("pad", {"margin": -1}), "at least 0"),
        (("resize", {"height": [1, 2, 3]}), "height, width"),
        (("resize", {"height": [1, 2], "width": 3}), "twice"),
        (("flip", {"p": 1}), "no argument `p`"),
    ],
)
def test_wrong_arguments(step, said):
    with pytest.raises(DataError, match=said):
        Pipeline([step])


def test_steps_that_do_not_fit_the_samples():
    with pytest.raises(DataError, match="2 values for `mean`, but a sample has 3 channels"):
        Pipeline([("normalize", {"mean": [1, 2], "std": 1})]).apply(IMAGES)
    for name, arguments in (("pad", {"margin": 1}), ("resize", {"height": 2}), ("shift", {"pixels": 1}), ("flip", {})):
        with pytest.raises(DataError, match="needs images"):
            Pipeline([(name, arguments)]).output_shape((5,))
    assert Pipeline([("scale", {"factor": 2})]).apply(np.ones((4, 3))).tolist() == [[2, 2, 2]] * 4


def test_a_leading_resize_is_told():
    resize = ("resize", {"height": 4, "width": 6})
    assert Pipeline([resize, ("scale", {"factor": 2})]).leading_resize == (4, 6)
    assert Pipeline([("resize", {"height": 4})]).leading_resize == (4, 4)
    assert Pipeline([("scale", {"factor": 2}), resize]).leading_resize is None and Pipeline().leading_resize is None


def test_shift_moves_each_image_and_zeros_move_in():
    pipeline = Pipeline([("shift", {"pixels": [2, 1]})])
    batch = np.arange(1, 4001, dtype=np.float32).reshape(100, 1, 5, 8)
    result = pipeline.augment(batch, np.arange(100), seed=3, epoch=1)
    seen = set()
    for before, after in zip(batch[:, 0], result[:, 0], strict=True):
        fits = []
        for dy in range(-2, 3):
            for dx in range(-1, 2):
                moved = np.zeros_like(before)
                for y in range(5):
                    for x in range(8):
                        if 0 <= y + dy < 5 and 0 <= x + dx < 8:
                            moved[y, x] = before[y + dy, x + dx]
                if np.array_equal(moved, after):
                    fits.append((dy, dx))
        assert len(fits) == 1
        seen.update(fits)
    assert len(seen) == 15


def test_flip_mirrors_about_half():
    batch = np.random.default_rng(0).normal(size=(2000, 1, 2, 3)).astype(np.float32)
    result = Pipeline([("flip", {})]).augment(batch, np.arange(2000), seed=0, epoch=0)
    mirrored = np.array([np.array_equal(a, b[..., ::-1]) for a, b in zip(result, batch, strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(result, batch, strict=True)])
    assert np.array_equal(mirrored, ~kept) and 900 < mirrored.sum() < 1100


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(8)), st.integers(0, 2**63), st.integers(0, 1000))
def test_augmentation_is_a_function_of_seed_epoch_and_sample(order, seed, epoch):
    pipeline = Pipeline([("shift", {"pixels": 3}), ("flip", {}), ("flip", {})])
    data = np.arange(8 * 3 * 6 * 6, dtype=np.float32).reshape(8, 3, 6, 6)
    whole = pipeline.augment(data, np.arange(8), seed=seed, epoch=epoch)
    rows = np.array(order[:5])
    assert np.array_equal(pipeline.augment(data[rows], rows, seed=seed, epoch=epoch), whole[rows])


def test_epochs_seeds_and_steps_differ():
    data = np.arange(64 * 36, dtype=np.float32).reshape(64, 1, 6, 6)
    rows = np.arange(64)
    shift = Pipeline([("shift", {"pixels": 2})])
    results = [
        shift.augment(data, rows, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0), (2**32, 0))
    ]
    assert all(not np.array_equal(a, b) for i, a in enumerate(results) for b in results[:i])
    twice = Pipeline([("flip", {}), ("flip", {})]).augment(data, rows, seed=0, epoch=0)
    assert not np.array_equal(twice, data)  # the two steps do not draw the same


def test_label_maps_move_with_their_images():
    pipeline = Pipeline([("shift", {"pixels": 2}), ("flip", {})])
    images = np.random.default_rng(2).integers(1, 9, (20, 1, 6, 6)).astype(np.float32)
    moved = pipeline.augment(images, np.arange(20), seed=5, epoch=2)
    labels = pipeline.augment(images.astype(np.int64), np.arange(20), seed=5, epoch=2, fill=255)
    assert (
        labels.dtype == np.int64 and np.array_equal(np.where(labels == 255, 0, labels), moved) and (labels == 255).any()
    )


def test_every_transform_has_an_implementation():
    examples = {
        "margin": 1,
        "height": 4,
        "width": None,
        "factor": 2.0,
        "mean": 1.0,
        "std": 1.0,
        "pixels": 1,
        "rotate": 10,
        "stretch": 0.1,
        "shear": 0.1,
    }
    for name, transform in TRANSFORMS.items():
        pipeline = Pipeline([(name, {argument.name: examples[argument.name] for argument in transform.arguments})])
        if transform.stage == "prepare":
            result = pipeline.apply(IMAGES)
        else:
            assert np.array_equal(pipeline.apply(IMAGES), IMAGES)
            result = pipeline.augment(IMAGES, np.arange(5), seed=0, epoch=0)
        assert result.shape[1:] == pipeline.output_shape((3, 9, 7)) and transform.doc


@pytest.mark.parametrize("size", [(8, 8), (9, 14)])
def test_affine_moves_images_as_torch_samples_them(size):
    """Against affine_grid and grid_sample, with the matrices that the draws give; outside the image there are zeros."""
    torch = pytest.importorskip("torch")
    from netdsl.runtime import transforms

    height, width = size
    images = np.random.default_rng(0).random((5, 3, height, width), np.float32)
    indices = np.arange(5)
    pipeline = Pipeline([("affine", {"rotate": 40, "stretch": 0.3, "shear": 0.2})])
    moved = pipeline.augment(images, indices, seed=3, epoch=1)
    matrices = transforms._inverses(transforms.philox(3, indices, 1, 0), 40, 0.3, 0.2)
    # torch's theta is in (x, y) and in halves of the image's size
    swapped = matrices[:, ::-1, ::-1] * np.array([[1, height / width], [width / height, 1]])
    theta = torch.tensor(np.concatenate([swapped, np.zeros((5, 2, 1))], axis=2), dtype=torch.float32)
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    expected = torch.nn.functional.grid_sample(torch.tensor(images), grid, align_corners=False)
    np.testing.assert_allclose(moved, expected.numpy(), atol=1e-4)


def test_affine_by_nothing_is_the_identity_and_moves_label_maps_by_whole_pixels():
    images = np.random.default_rng(0).random((4, 2, 7, 7), np.float32)
    still = Pipeline([("affine", {})]).augment(images, np.arange(4), seed=0, epoch=0)
    np.testing.assert_allclose(still, images, atol=1e-6)
    maps = np.random.default_rng(1).integers(0, 9, (4, 1, 7, 7))
    moved = Pipeline([("affine", {"rotate": 30})]).augment(maps, np.arange(4), seed=0, epoch=0, fill=255)
    assert moved.dtype == maps.dtype and set(np.unique(moved)) <= {*range(9), 255}
