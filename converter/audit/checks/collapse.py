"""Heatmap losses that stand where an empty map would leave them: mean(target²)."""

from __future__ import annotations

from collections.abc import Iterator

from ..check import check
from ..finding import Finding
from ..parts import same_numbers
from ..places import places_of
from ..study import Study

_NEAR = 0.05
_SPARSE = 0.2


@check("collapse")
def find(study: Study) -> Iterator[Finding]:
    """One finding for each map whose squared error is that of predicting nothing at all."""
    bench, batch = study.bench, study.bench.batch()
    maps = {p.source: p for p in bench.pairs if len(bench.shape(p.source)) == 4}
    maps = {source: pair for source, pair in maps.items() if source in bench.heads}
    if not maps or bench.source == "random data":
        return
    heads = study.heads(batch)
    for source, pair in maps.items():
        label = bench.run([pair.label], batch)[pair.label].reshape(heads[source].shape)
        filled = float((label.abs() > 0.01).float().mean())
        nothing, loss = float(label.square().mean()), float((heads[source] - label).square().mean())
        if nothing == 0 or filled > _SPARSE or abs(loss / nothing - 1) > _NEAR:
            continue
        labels = same_numbers(bench.computing, pair.label)
        peak = float(heads[source].abs().max())
        fresh = "" if study.weights else " These are freshly filled weights, so it starts there;"
        yield Finding(
            kind="collapse",
            severity="wrong" if study.weights else "note",
            title=f"'{source}' is worth no more than an empty map",
            places=places_of(p.loss for p in bench.pairs if p.source == source),
            did=(
                f"Only {filled:.1%} of '{labels}' is not empty. An all-zero prediction has a mean "
                f"squared error of {nothing:.3g}; this net has {loss:.3g}, its largest value is "
                f"{peak:.2g}.{fresh} a loss at this value means that nothing has been learned."
            ),
            fix="A loss that weighs the joints' cells, or a larger weight or learning rate for it.",
            switch="AdaptiveWeightEucLoss, or loss_weight in the prototxt",
            numbers={"loss": loss, "all_zero": nothing, "filled": filled, "peak": peak},
        )
