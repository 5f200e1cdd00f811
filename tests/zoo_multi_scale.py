"""Cases of the zoo: multi-scale networks."""

from __future__ import annotations

from zoo import Figures, Small

FIGURES: list[Figures] = []

SMALL: list[Small] = []
