"""What the text alone says about a net: size, cost, memory, receptive fields, legal input sizes."""

from netdsl.analysis.analyze import analyze
from netdsl.analysis.expectations import check_expectations
from netdsl.analysis.facts import Facts
from netdsl.report.record import Report

__all__ = ["Facts", "Report", "analyze", "check_expectations"]
