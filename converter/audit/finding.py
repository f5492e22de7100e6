"""What the audit says about a net: one finding, and the report of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["wrong", "risk", "waste", "note"]
SEVERITIES: Mapping[Severity, str] = {
    "wrong": "learns or measures something other than it says",
    "risk": "may break or mislead",
    "waste": "has no effect",
    "note": "worth knowing",
}
"""Worst first, with what each means."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        kind: the check that found it.
        severity: how bad it is.
        title: what it is, in one line.
        places: `file:line` of every layer it concerns, the most important first.
        did: what the net did.
        fix: what mending it changes.
        switch: how to have it mended.
        defect: the number it has in the write-up of the integral repositories, if it has one.
        numbers: what was measured, by name.
        table: rows to show beneath, the first the heading.
    """

    kind: str
    severity: Severity
    title: str
    places: Sequence[str] = ()
    did: str = ""
    fix: str = ""
    switch: str = ""
    defect: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    table: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Report:
    """All findings about a net, worst first, and how they were come by.

    Attributes:
        net: path of the prototxt.
        name: the net's own name.
        facts: what was audited, by name: layers, parameters, weights, data.
        findings: worst first.
        skipped: checks that could not be made, and why.
    """

    net: str
    name: str
    facts: Mapping[str, str]
    findings: Sequence[Finding]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity."""
        return {s: sum(f.severity == s for f in self.findings) for s in SEVERITIES}

    @property
    def headline(self) -> str:
        """The report in one line."""
        parts = [f"{count} {severity}" for severity, count in self.counts.items() if count]
        return ", ".join(parts) if parts else "nothing found"

    def as_data(self) -> dict[str, Any]:
        """The report as plain dicts and lists, for JSON."""
        return {**asdict(self), "counts": self.counts}
