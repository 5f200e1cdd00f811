"""How far samples are from a distribution: statistics with known critical values."""

import numpy as np


def excess(counts):
    """Pearson's chi-square against equal counts, in standard deviations above its mean: beyond 4.5 once in 1e5."""
    expected = counts.sum() / counts.size
    freedom = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


def kolmogorov(sample):
    """sqrt(n) times the greatest distance from uniform on [0, 1]: beyond 1.95 once in 1e3, beyond 2.2 once in 1e4."""
    ordered = np.sort(sample, axis=None)
    steps = np.arange(ordered.size + 1) / ordered.size
    distance = max((ordered - steps[:-1]).max(), (steps[1:] - ordered).max())
    return float(distance * np.sqrt(ordered.size))
