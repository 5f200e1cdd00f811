"""The arena, in which a step's tensors come and go."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from netdsl.analysis.arena import Arena

MB = 2**20


def test_regions_double_until_a_tensor_fits():
    arena = Arena()
    assert arena.take(1) == arena.take(300) - 256
    assert arena.alive == 256 + 512
    arena.take(5 * MB)
    assert arena.used == arena.alive == 768 + 5 * MB


def test_the_smallest_free_chunk_is_taken_and_a_large_rest_is_left():
    arena = Arena()
    chunks = [arena.take(size) for size in (64 * MB, 10 * MB, 1 * MB, 4 * MB, 1 * MB)]
    for i in (1, 3):
        arena.give_back(chunks[i])
    used = arena.used
    assert arena.take(3 * MB) == chunks[3], "of 10 and 4 MB, and all of the 4"
    assert arena.take(5 * MB) == chunks[1]
    assert arena.take(5 * MB) == chunks[1] + 5 * MB, "the other half of the 10"
    assert arena.used == used


def test_neighbours_that_are_free_become_one():
    arena = Arena()
    chunks = [arena.take(MB) for _ in range(4)]
    whole = arena.take(16 * MB)
    used = arena.used
    for i in (0, 2, 1, 3):
        arena.give_back(chunks[i])
    arena.give_back(whole)
    assert arena.alive == 0 and arena.peak == 20 * MB and arena.used == used
    assert arena.take(16 * MB) == whole


@given(st.lists(st.one_of(st.integers(1, 40 * MB), st.integers(1, 4096), st.just(0)), max_size=60), st.randoms())
def test_tensors_never_overlap(sizes, random):
    """0 stands for giving one back."""
    arena, held = Arena(), dict[int, int]()
    for size in sizes:
        if size:
            held[arena.take(size)] = size
        elif held:
            address = random.choice(sorted(held))
            del held[address]
            arena.give_back(address)
        places = sorted(held.items())
        assert all(a + size <= b for (a, size), (b, _) in pairwise(places))
        assert sum(held.values()) <= arena.alive <= arena.peak <= arena.used
