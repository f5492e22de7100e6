"""The report as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from .finding import SEVERITIES, Finding, Report

_MOST_PLACES = 6
_STYLE = """
:root { --wrong: #c62828; --risk: #b26a00; --waste: #00796b; --note: #546e7a; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2326; background: #f5f6f7; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 30px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 40px 0 12px; }
h2 small { font-weight: 400; color: #5c686e; }
h3 { font-size: 17px; margin: 0 0 8px; }
.net { color: #5c686e; margin: 0 0 20px; overflow-wrap: anywhere; }
.counts { display: flex; gap: 12px; flex-wrap: wrap; margin: 0 0 20px; padding: 0;
  list-style: none; }
.counts li { background: #fff; border-radius: 8px; padding: 10px 18px; border-top-width: 4px;
  border-top-style: solid; }
.counts b { font-size: 26px; display: block; line-height: 1.1; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0; }
dl.facts dt { color: #5c686e; } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
article { background: #fff; border-radius: 8px; border-left-width: 6px;
  border-left-style: solid; padding: 16px 20px;
  margin: 0 0 14px; box-shadow: 0 1px 2px #0002; }
article .tag { color: #5c686e; font-weight: 400; font-size: 14px; }
article dl { display: grid; grid-template-columns: 120px 1fr; gap: 6px 16px; margin: 0; }
article dt { color: #5c686e; } article dd { margin: 0; overflow-wrap: anywhere; }
code { font: 13.5px/1.5 ui-monospace, monospace; background: #eef1f2; border-radius: 4px;
  padding: 1px 5px; }
table { border-collapse: collapse; margin: 10px 0 0; font-size: 14px; }
th, td { padding: 4px 12px 4px 0; text-align: left; border-bottom: 1px solid #e3e7e9; }
td + td, th + th { text-align: right; }
ul.places { margin: 0; padding-left: 18px; }
.wrong { border-color: var(--wrong); } .risk { border-color: var(--risk); }
.waste { border-color: var(--waste); } .note { border-color: var(--note); }
@media (prefers-color-scheme: dark) {
  body { background: #14191c; color: #e6eaec; }
  article, .counts li { background: #1e2529; } code { background: #2a3338; }
  th, td { border-color: #323c42; }
  .net, dl.facts dt, article dt, h2 small, article .tag { color: #9fb0b8; }
}
"""


def page(report: Report) -> str:
    """The HTML of a report."""
    title = escape(Path(report.net).name)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{title}: {report.headline}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(_headline(report))}</h1>",
        f"<p class='net'>{escape(report.net)} · {escape(report.name)}</p>",
        *_counts(report),
        *_facts(report),
    ]
    for severity, meaning in SEVERITIES.items():
        group = [finding for finding in report.findings if finding.severity == severity]
        if group:
            parts.append(f"<h2>{severity} <small>{escape(meaning)}</small></h2>")
            parts += [part for finding in group for part in _article(finding, report.net)]
    for kind, reason in report.skipped.items():
        parts.append(f"<p>Check <code>{kind}</code> could not be made: {escape(reason)}</p>")
    return "\n".join([*parts, "</main></body></html>\n"])


def _headline(report: Report) -> str:
    """The worst in one sentence."""
    worst = [finding for finding in report.findings if finding.severity == "wrong"]
    if not report.findings:
        return "Nothing found"
    if not worst:
        return f"Nothing wrong; {report.headline}"
    more = f" — and {len(worst) - 1} more things are wrong" if len(worst) > 1 else ""
    return f"{worst[0].title}{more}"


def _counts(report: Report) -> Iterator[str]:
    yield "<ul class='counts'>"
    for severity, count in report.counts.items():
        yield f"<li class='{severity}'><b>{count}</b>{severity}</li>"
    yield "</ul>"


def _facts(report: Report) -> Iterator[str]:
    yield "<dl class='facts'>"
    for name, fact in report.facts.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>"
    yield "</dl>"


def _article(finding: Finding, net: str) -> Iterator[str]:
    tag = " · ".join(part for part in (finding.kind, finding.defect) if part)
    yield f"<article class='{finding.severity}'>"
    yield f"<h3>{escape(finding.title)} <span class='tag'>{escape(tag)}</span></h3><dl>"
    for term, text in (("What it did", finding.did), ("What mends it", finding.fix)):
        if text:
            yield f"<dt>{term}</dt><dd>{escape(text)}</dd>"
    if finding.switch:
        yield f"<dt>Switch</dt><dd><code>{escape(finding.switch)}</code></dd>"
    if finding.places:
        yield f"<dt>Where</dt><dd>{_places(_short(finding.places, net))}</dd>"
    yield "</dl>"
    if finding.table:
        yield _rows(finding.table)
    yield "</article>"


def _short(places: Sequence[str], net: str) -> list[str]:
    """Places without the folder of the net, which stands at the top of the page."""
    folder = str(Path(net).parent) + "/"
    return [place.removeprefix(folder) for place in places]


def _places(places: Sequence[str]) -> str:
    shown = [f"<li><code>{escape(p)}</code></li>" for p in places[:_MOST_PLACES]]
    hidden = [f"<li><code>{escape(p)}</code></li>" for p in places[_MOST_PLACES:]]
    more = (
        f"<details><summary>and {len(hidden)} more</summary>"
        f"<ul class='places'>{''.join(hidden)}</ul></details>"
        if hidden
        else ""
    )
    return f"<ul class='places'>{''.join(shown)}</ul>{more}"


def _rows(table: Sequence[Sequence[str]]) -> str:
    head, *rows = table
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
