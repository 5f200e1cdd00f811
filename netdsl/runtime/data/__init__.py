"""Data sources: real images and labels from files, checked before memory is taken for them."""

from netdsl.runtime.data.dataset import Data, Samples, check_labels
from netdsl.runtime.data.source import load, load_inputs

__all__ = ["Data", "Samples", "check_labels", "load", "load_inputs"]
