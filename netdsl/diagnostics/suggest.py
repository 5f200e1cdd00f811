"""Did-you-mean."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` is most likely a misspelling of, or None."""
    from difflib import get_close_matches  # 10 ms to import: only where something is wrong already

    matches = get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """The help line for a misspelt word, as a tuple ready for `Diagnostic.helps`."""
    match = closest(word, candidates)
    return (f"did you mean `{match}`?",) if match else ()
