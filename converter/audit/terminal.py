"""The report on a terminal: worst first, a table for each severity."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .finding import SEVERITIES, Finding, Report

_COLOURS = {"wrong": "red", "risk": "yellow", "waste": "cyan", "note": "bright_black"}
_MOST_PLACES = 3


def show(report: Report, console: Console) -> None:
    """Print the whole report."""
    console.print(f"[bold]{escape(report.net)}[/]  {escape(report.name)}")
    console.print(f"[bold]{report.headline}[/]")
    for name, fact in report.facts.items():
        console.print(f"  {name}: {fact}", markup=False, style="bright_black")
    for severity, meaning in SEVERITIES.items():
        group = [finding for finding in report.findings if finding.severity == severity]
        if group:
            console.print()
            console.print(_table(severity, meaning, group))
    for kind, reason in report.skipped.items():
        console.print(f"check '{kind}' could not be made: {reason}", markup=False)


def _table(severity: str, meaning: str, findings: list[Finding]) -> Table:
    table = Table(
        title=f"[bold {_COLOURS[severity]}]{severity}[/]: {meaning}",
        title_justify="left",
        show_lines=True,
        expand=True,
    )
    table.add_column("what and where", ratio=5)
    table.add_column("what the net did", ratio=6)
    table.add_column("what mends it", ratio=4)
    for finding in findings:
        defect = f" [bright_black]({finding.defect})[/]" if finding.defect else ""
        what = f"[bold]{escape(finding.title)}[/]{defect}\n{escape(shown_places(finding))}"
        did = escape(finding.did) + _rows(finding)
        table.add_row(what, did, f"{escape(finding.fix)}\n[green]{escape(finding.switch)}[/]")
    return table


def shown_places(finding: Finding) -> str:
    """The first places, and how many more there are."""
    lines = [place.rpartition("/")[2] for place in finding.places[:_MOST_PLACES]]
    left = len(finding.places) - len(lines)
    return "\n".join([*lines, f"and {left} more"] if left > 0 else lines)


def _rows(finding: Finding) -> str:
    """The first two columns of the finding's table: there is no room for more beside the text."""
    if not finding.table:
        return ""
    widths = [max(len(row[i]) for row in finding.table) for i in (0, 1)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        for row in finding.table
    )
    return "\n" + escape("\n".join(lines))
