"""Cases of the zoo: neurons and classification."""

from __future__ import annotations

from zoo import Figures, Small

FIGURES: list[Figures] = []

SMALL: list[Small] = []
