"""Fixed kernels: what they answer to images whose derivatives are known, and which map takes which."""

from math import pi, sqrt

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from netdsl import NetError
from netdsl.elaborate import load_text
from netdsl.lower import initial_parameters
from netdsl.ops.initializers import INITIALIZERS
from netdsl.ops.kernels import KERNELS

CONV = (F.conv1d, F.conv2d, F.conv3d)


def weights(layer, *shape):
    """The weights of a convolution as a file writes it."""
    graph = load_text(f"net f : x{list(shape)} -> y {{ y = x -> {layer} }}")
    (weight,) = (p.name for p in graph.parameters() if p.name.endswith("weight"))
    return torch.from_numpy(initial_parameters(graph, 0)[weight].astype(np.float64))


def answer(weight, image):
    """What the kernel makes of one map, without padding; a single number per filter where it is everywhere the same."""
    return CONV[image.ndim - 1](image[None, None], weight)[0]


def ramp(axis, rank):
    shape = [1] * rank
    shape[axis] = 8
    return torch.arange(8.0, dtype=torch.float64).reshape(shape).expand((8,) * rank)


@pytest.mark.parametrize(("kernel", "smooth"), [("sobel", 4), ("prewitt", 3)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_derivatives_along_the_width_then_the_height_then_the_depth(kernel, smooth, rank):
    weight = weights(f"conv({rank}, 3, init = {kernel})", 1, *(8,) * rank)
    for axis in range(rank):
        found = answer(weight, ramp(axis, rank))
        expected = torch.zeros(rank, dtype=torch.float64)
        expected[rank - 1 - axis] = 2 * smooth ** (rank - 1)  # the difference of two cells, smoothed across
        torch.testing.assert_close(found, expected.reshape(-1, *(1,) * rank).expand_as(found))


def test_sobel_as_it_is_printed():
    x, y = weights("conv(2, 3, init = sobel)", 1, 8, 8)[:, 0]
    assert x.tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]] and y.tolist() == x.T.tolist()


def test_roberts_differs_along_the_diagonals():
    weight = weights("conv(2, 2, init = roberts)", 1, 8, 8)
    along, across = ramp(0, 2) + ramp(1, 2), ramp(0, 2) - ramp(1, 2)
    assert (answer(weight, along)[0] == -2).all() and (answer(weight, along)[1] == 0).all()
    assert (answer(weight, across)[0] == 0).all() and (answer(weight, across)[1] == -2).all()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_laplacian_of_a_paraboloid(rank):
    paraboloid = sum((ramp(axis, rank) - 2) ** 2 for axis in range(rank))
    assert (answer(weights("conv(1, 3, init = laplacian)", 1, *(8,) * rank), paraboloid) == 2 * rank).all()
    assert (answer(weights("conv(1, 3, init = laplacian)", 1, *(8,) * rank), ramp(0, rank)) == 0).all()


@pytest.mark.parametrize(("size", "sigma"), [(5, 1.0), (4, 0.7), (9, 3.0), (3, 0.1), (2, 0.1)])
def test_gaussian_is_pytorch_s_window_along_each_axis(size, sigma):
    line = torch.signal.windows.gaussian(size, std=sigma, dtype=torch.float64)
    expected = torch.outer(line, line)
    found = weights(f"conv(1, {size}, init = gaussian_kernel({sigma}))", 1, 16, 16)[0, 0]
    torch.testing.assert_close(found, expected / expected.sum(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("size", "sigma"), [((9, 9), 1.2), ((5, 8), 1.5), ((11,), 1.0)])
def test_log_is_the_laplacian_of_a_gaussian(size, sigma):
    """By automatic differentiation, shifted to sum 0."""
    rank = len(size)
    places = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in size)).reshape(-1, rank)

    def bell(x):
        return torch.exp(-(x**2).sum(-1) / (2 * sigma**2))

    second = torch.stack([torch.autograd.functional.hessian(bell, place).trace() for place in places])
    expected = second / bell(places).sum()
    found = weights(f"conv(1, {list(size)}, init = log_kernel({sigma}))", 1, *(16,) * rank)[0, 0]
    torch.testing.assert_close(found.flatten(), expected - expected.mean(), rtol=1e-5, atol=1e-7)
    assert abs(float(found.sum())) < 1e-6


def test_log_as_fspecial_has_it():
    """MATLAB's documentation of fspecial('log', 5, 0.5) prints -4.9048 at the centre, and its neighbours."""
    found = weights("conv(1, 5, init = log_kernel(0.5))", 1, 16, 16)[0, 0]
    np.testing.assert_allclose(found[2], [0.0564, 0.7146, -4.9048, 0.7146, 0.0564], atol=5e-5)
    np.testing.assert_allclose(found[:2, 1], [0.0468, 0.3167], atol=5e-5)


def test_gabor_is_the_real_part_of_a_wave_under_a_bell():
    """The formula of Petkov & Kruizinga 1997, number by number."""
    found = weights("conv(3, [7, 9], init = gabor(5, [0, 30, 120], sigma = 2, aspect = 0.7, phase = 40))", 1, 16, 16)
    for index, degrees in enumerate((0, 30, 120)):
        turn = np.exp(-1j * degrees / 180 * pi)
        for row in range(7):
            for column in range(9):
                turned = complex(column - 4, row - 3) * turn
                u, v = turned.real, turned.imag
                wave = np.exp(2j * pi * u / 5 + 1j * 40 / 180 * pi)
                expected = (np.exp(-(u**2 + 0.49 * v**2) / 8) * wave).real
                assert found[index, 0, row, column] == pytest.approx(expected, abs=1e-6)


def test_a_grating_excites_the_gabor_of_its_direction():
    bank = weights("conv(4, 13, init = gabor(4))", 1, 32, 32)
    down, right = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    for index, (across, along) in enumerate([(1, 0), (sqrt(0.5), sqrt(0.5)), (0, 1), (-sqrt(0.5), sqrt(0.5))]):
        grating = torch.cos(2 * pi * (across * right + along * down) / 4).double()
        energy = (answer(bank, grating) ** 2).mean((1, 2))
        assert int(energy.argmax()) == index and energy[index] > 10 * energy.sort().values[-2]


# which map takes what


def test_plain_use_filters_the_mean_of_the_maps_by_turns():
    found, one = weights("conv(5, 3, init = sobel)", 3, 8, 8), weights("conv(2, 3, init = sobel)", 1, 8, 8)
    for output in range(5):
        for channel in range(3):
            torch.testing.assert_close(found[output, channel], one[output % 2, 0] / 3)


@pytest.mark.parametrize(("outputs", "turns"), [(6, [0, 1, 0, 1, 0, 1]), (3, [0, 0, 0]), (9, [0, 1, 0] * 3)])
def test_depthwise_every_map_has_the_same_filters(outputs, turns):
    found = weights(f"conv({outputs}, 3, groups = 3, init = sobel)", 3, 8, 8)
    one = weights("conv(2, 3, init = sobel)", 1, 8, 8)
    assert torch.equal(found, one[turns])


def test_a_connection_table_takes_the_mean_of_what_it_connects():
    found = weights("conv(2, 3, pad = 0, connect = [[0], [0, 2]], init = laplacian)", 3, 8, 8)
    centre = [[-4, 0, 0], [-2, 0, -2]]
    assert found[:, :, 1, 1].tolist() == centre


def test_every_kernel_is_known_as_an_initialisation():
    from netdsl.lower.kernels import FILLED

    assert set(KERNELS) == set(FILLED) <= set(INITIALIZERS)


@pytest.mark.parametrize(
    ("layer", "shape", "code", "words"),
    [
        ("conv(2, 5, init = sobel)", (1, 8, 8), "E0330", "`sobel` is a kernel of 3 x 3, and `kernel` makes 5 x 5"),
        ("conv(2, [2, 3], init = roberts)", (1, 8, 8), "E0330", "of 2 x 2, and `kernel` makes 2 x 3"),
        ("conv(2, 2, init = roberts)", (1, 8), "E0330", "for 2 spatial axes, and `x` has 1"),
        ("conv(2, 5, init = gabor(3))", (1, 8, 8, 8), "E0330", "for 2 spatial axes, and `x` has 3"),
        ("deconv(2, 3, init = sobel)", (1, 8, 8), "E0205", "and is the initialisation `sobel`"),
        ("flatten -> dense(3, init = gaussian_kernel(1))", (1, 8, 8), "E0205", "the initialisation `gaussian_kernel`"),
        ("conv(2, 5, init = gaussian_kernel)", (1, 8, 8), "E0205", "is the initialisation `gaussian_kernel`"),
        ("conv(2, 5, init = gaussian_kernel(0))", (1, 8, 8), "E0205", "`sigma` must be a number of at least 0.1"),
        ("conv(2, 5, init = gabor(1))", (1, 8, 8), "E0205", "`wavelength` must be a number of at least 2"),
        ("conv(2, 5, init = gabor(3, []))", (1, 8, 8), "E0205", "a number of degrees, or a list of them"),
    ],
)
def test_what_does_not_fit(layer, shape, code, words):
    with pytest.raises(NetError) as caught:
        load_text(f"net f : x{list(shape)} -> y {{ y = x -> {layer} }}")
    assert caught.value.diagnostics[0].code == code and words in str(caught.value)
