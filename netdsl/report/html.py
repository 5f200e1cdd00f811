"""The table as HTML, for notebooks."""

from __future__ import annotations

from html import escape

from netdsl.report.record import Report
from netdsl.report.table import table


def html(report: Report) -> str:
    """The printed table, escaped, in a fixed-width block."""
    return f'<pre style="line-height: 1.2">{escape(table(report, width=120))}</pre>'
