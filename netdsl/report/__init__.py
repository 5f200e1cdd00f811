"""What is known about a net before anything runs, as records, and how they are shown: JSON, table, HTML."""

from netdsl.report.conventions import CONVENTIONS
from netdsl.report.record import Layer, ReceptiveField, Report, Tensor, Totals, TrainingMemory, TrainingOnly
from netdsl.report.table import table

__all__ = [
    "CONVENTIONS", "Layer", "ReceptiveField", "Report", "Tensor", "Totals", "TrainingMemory", "TrainingOnly", "table",
]  # fmt: skip
