"""Did-you-mean."""

from __future__ import annotations

from collections.abc import Iterable

_LOOKED_AT = 100


def closest(word: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The candidate that `word` is most likely a misspelling of, or None. The cutoff is 1 for the same word."""
    known = list(candidates)
    for name in known:  # one letter in the wrong case is all that difflib sees of a short name
        if name.casefold() == word.casefold():
            return name
    from difflib import get_close_matches  # 10 ms to import: only where something is wrong already
    from heapq import nlargest

    letters = set(word)
    # difflib takes 20 us and more for each: of thousands of names, look at those with the same letters
    likely = nlargest(_LOOKED_AT, known, key=lambda name: len(letters.intersection(name)) - abs(len(name) - len(word)))
    matches = get_close_matches(word, likely, n=1, cutoff=cutoff)
    return matches[0] if matches else None


def did_you_mean(word: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """The help line for a misspelt word, as a tuple ready for `Diagnostic.helps`."""
    match = closest(word, candidates)
    return (f"did you mean `{match}`?",) if match else ()


def counted(number: int, thing: str) -> str:
    """A number of things in words: `no items`, `one item`, `2 items`, `one index`, `2 indices`."""
    several = "indices" if thing == "index" else thing + "s"
    return f"no {several}" if number == 0 else f"one {thing}" if number == 1 else f"{number:,} {several}"
