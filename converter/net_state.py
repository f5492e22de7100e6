"""Caffe's NetState: which layers the rules of a net let in, and what would let in the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .record import Record

MOST_WAYS = 6
"""Ways to let layers in that a message names."""


@dataclass(frozen=True, slots=True)
class State:
    """What include and exclude rules are held against."""

    phase: str
    level: int
    stages: frozenset[str]

    def meets(self, rule: Record) -> bool:
        """Whether a NetStateRule holds: all that it sets must fit."""
        return not list(self.lacks(rule))

    def lacks(self, rule: Record) -> Iterator[str]:
        """What must be otherwise for a NetStateRule to hold."""
        if rule.get("phase", self.phase) != self.phase:
            yield f"phase {rule['phase']}"
        if rule.get("min_level", self.level) > self.level:
            yield f"level {rule['min_level']} or more"
        if rule.get("max_level", self.level) < self.level:
            yield f"level {rule['max_level']} or less"
        yield from (f"stage '{s}'" for s in rule.get("stage", ()) if s not in self.stages)
        yield from (f"no stage '{s}'" for s in rule.get("not_stage", ()) if s in self.stages)

    def ways_in(self, record: Record) -> Iterator[str]:
        """For each rule of a layer that is left out, what would let the layer in."""
        for rule in record.get("include", ()):
            yield " and ".join(self.lacks(rule))
        for rule in record.get("exclude", ()):
            if self.meets(rule):
                yield _against(rule)


def _against(rule: Record) -> str:
    """What makes a NetStateRule that holds no longer do so, by the first thing it sets."""
    if "phase" in rule:
        return f"phase {'TRAIN' if rule['phase'] == 'TEST' else 'TEST'}"
    if rule.get("stage"):
        return f"no stage '{rule['stage'][0]}'"
    if rule.get("not_stage"):
        return f"stage '{rule['not_stage'][0]}'"
    return "another level"


def told_way_in(records: Sequence[Record], state: State) -> str:
    """How to have what left-out layers make; empty if there are none.

    `Layer 'data' makes it in phase TRAIN or stage 'deploy'; --stage=NAME sets a stage.`
    """
    ways = list(dict.fromkeys(way for record in records for way in state.ways_in(record)))
    if not ways:
        return ""
    names = list(dict.fromkeys(f"'{record.get('name', '')}'" for record in records))
    who = f"Layer {names[0]} makes" if len(names) == 1 else f"Layers {', '.join(names)} make"
    shown = ways[:MOST_WAYS]
    listed = " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    stages = any(way.startswith("stage") or " and stage" in way for way in shown)
    return f"{who} it in {listed}{'; --stage=NAME sets a stage' if stages else ''}."
