"""All that a file may name without declaring it: what `netdsl ops` prints."""

from netdsl.reference.entries import Entry, entries
from netdsl.reference.text import as_dict, description, listing

__all__ = ["Entry", "as_dict", "description", "entries", "listing"]
