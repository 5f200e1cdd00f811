"""Did-you-mean."""

from __future__ import annotations

from collections.abc import Iterable

_LOOKED_AT = 100


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` is most likely a misspelling of, or None."""
    from difflib import get_close_matches  # 10 ms to import: only where something is wrong already
    from heapq import nlargest

    letters = set(word)
    # difflib takes 20 us and more for each: of thousands of names, look at those with the same letters
    likely = nlargest(
        _LOOKED_AT, candidates, key=lambda name: len(letters.intersection(name)) - abs(len(name) - len(word))
    )
    matches = get_close_matches(word, likely, n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """The help line for a misspelt word, as a tuple ready for `Diagnostic.helps`."""
    match = closest(word, candidates)
    return (f"did you mean `{match}`?",) if match else ()
