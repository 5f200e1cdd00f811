"""Cases of the zoo: fully convolutional networks."""

from __future__ import annotations

from zoo import Figures, Small

FIGURES: list[Figures] = []

SMALL: list[Small] = []
