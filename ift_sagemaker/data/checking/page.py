"""A dataset report as HTML: tables and plots that need no script and nothing from elsewhere.

Plots are SVG without text, so that they may be stretched; what is to be read stands beside them as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from ift_sagemaker.data.checking.report import Bin, DatasetReport, LengthStats, share_text
from ift_sagemaker.data.rows.finding import Finding

_SHOWN_FINDINGS = 200
_SHOWN_FILES = 50
_SHOWN_LABELS = 20
_TICKS = 6
_HEIGHT = 100
_JOINTS = re.compile(r"(?<=[/_-])(?=[^/_-])|(?<=\w)(?=\.)")

STYLE = """
.ift { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #fff; --panel: #f6f8fa; --bar: #2f6fb3;
  --error: #b3261e; --warning: #8a5a00; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, sans-serif; padding: 1rem; }
@media (prefers-color-scheme: dark) {
  .ift { --ink: #e6edf3; --soft: #9da7b1; --line: #3a424b; --paper: #0d1117; --panel: #161b22; --bar: #6cb0f5;
    --error: #ff8a80; --warning: #e3b341; }
}
.ift h1 { font-size: 1.3rem; line-height: 1.25; overflow-wrap: anywhere; margin: 0 0 .25rem; }
.ift h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
.ift p { margin: .3rem 0; color: var(--soft); overflow-wrap: anywhere; }
.ift .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); gap: .6rem;
  margin: 1rem 0; }
.ift .tiles div { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .5rem .75rem; }
.ift .tiles b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.ift .tiles span { color: var(--soft); font-size: .85rem; }
.ift .beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr));
  gap: 0 2rem; }
.ift svg { display: block; width: 100%; fill: var(--bar); }
.ift svg.tall { height: 9rem; border-bottom: 1px solid var(--line); }
.ift svg.flat { height: .8rem; background: var(--panel); border-radius: 3px; align-self: center; }
.ift .ticks { position: relative; height: 1.4rem; font-size: .8rem; color: var(--soft); }
.ift .ticks span { position: absolute; transform: translateX(-50%); font-variant-numeric: tabular-nums; }
.ift .ticks span:first-child { transform: none; }
.ift .ticks span:last-child { transform: translateX(-100%); }
.ift .bars { display: grid; grid-template-columns: fit-content(40%) 1fr auto; gap: .25rem .75rem; }
.ift .bars span { overflow-wrap: anywhere; text-align: left; }
.ift .bars span:nth-child(3n) { font-variant-numeric: tabular-nums; text-align: right; }
.ift table { border-collapse: collapse; width: 100%; font-size: .9rem; color: var(--ink); }
.ift th, .ift td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.ift th { color: var(--soft); font-weight: 600; }
.ift .number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.ift .error { color: var(--error); font-weight: 600; }
.ift .warning { color: var(--warning); font-weight: 600; }
.ift code { font: .85em ui-monospace, monospace; }
@media (max-width: 640px) {
  .ift .findings thead { display: none; }
  .ift .findings td { display: block; border: 0; padding: .05rem 0; }
  .ift .findings tr { display: block; border-bottom: 1px solid var(--line); padding: .5rem 0; }
}
"""


def fragment(report: DatasetReport) -> str:
    """The report as one element with its own style, for a page or a notebook."""
    sections = (
        _head(report),
        _lengths(report),
        _shares(report),
        _rules(report),
        _files(report),
        _findings(report),
    )
    return f'<div class="ift"><style>{STYLE}</style>{"".join(sections)}</div>'


def _head(report: DatasetReport) -> str:
    tiles = [
        ("rows", f"{report.rows:,}"),
        ("errors", f"{report.error_count:,}"),
        ("warnings", f"{report.warning_count:,}"),
        ("duplicates", _share(report, "duplicate")),
        ("near duplicates", _share(report, "near-duplicate")),
    ]
    if report.against:
        tiles.append(("leaked rows", _share(report, "leakage", "near-leakage")))
    boxes = "".join(f"<div><b>{escape(value)}</b><span>{name}</span></div>" for name, value in tiles)
    said = [f"{escape(report.format)} rows"]
    if report.target:
        said.append(f"for {escape(report.target)}")
    if report.against:
        said.append(f"against {escape(', '.join(report.against))}")
    if report.left_out:
        said.append(f"without {escape(', '.join(report.left_out))}")
    return f'<h1>{_path(report.path)}</h1><p>{", ".join(said)}</p><div class="tiles">{boxes}</div>'


def _path(path: str) -> str:
    """A path that is parted between words, where it has to be."""
    return _JOINTS.sub("<wbr>", escape(path))


def _share(report: DatasetReport, *rules: str) -> str:
    return "not checked" if set(rules) <= set(report.left_out) else share_text(report.share(*rules))


def _lengths(report: DatasetReport) -> str:
    plots = "".join(
        f"<div><h2>{name} length, characters</h2>{_spread(stats, bins, name)}</div>"
        for name, stats, bins in (
            ("Prompt", report.prompt_length, report.prompt_histogram),
            ("Completion", report.completion_length, report.completion_histogram),
        )
        if stats is not None
    )
    tokens = report.tokens
    basis = escape(tokens.basis)
    about = f"<p>Tokens: {tokens.total:,} in all, {tokens.longest:,} in the longest row ({basis})</p>"
    return f'<div class="beside">{plots}</div>{about if tokens.total else ""}'


def _spread(stats: LengthStats, bins: Sequence[Bin], name: str) -> str:
    if stats.minimum == stats.maximum:
        return f"<p>{stats.minimum:,} in every row</p>"
    said = f"{stats.minimum:,} to {stats.maximum:,}, median {stats.median:,}, mean {stats.mean:,}"
    said += f", 95 % within {stats.p95:,}"
    # one bar alone shows nothing
    return f"{plot(bins, name)}<p>{said}; the scale is logarithmic</p>" if len(bins) > 1 else f"<p>{said}</p>"


def plot(bins: Sequence[Bin], name: str) -> str:
    """A histogram: a bar a bin, widths all the same though bins grow."""
    most = max((one.count for one in bins), default=1)
    bars = "".join(
        f'<rect x="{10 * place + 1}" y="{_HEIGHT - height:g}" width="8" height="{height:g}">'
        f"<title>{_range(one)} characters: {one.count:,} rows</title></rect>"
        for place, one in enumerate(bins)
        for height in (max(1.0, round(_HEIGHT * one.count / most, 1)) if one.count else 0,)
    )
    size = f"0 0 {10 * len(bins)} {_HEIGHT}"
    label = f"Histogram: {name} length of {sum(one.count for one in bins):,} rows"
    svg = f'<svg class="tall" viewBox="{size}" preserveAspectRatio="none" role="img" aria-label="{label}">'
    return f"{svg}{bars}</svg>{_ticks(bins)}"


def _range(one: Bin) -> str:
    return f"{one.low:,}" if one.high == one.low + 1 else f"{one.low:,} to {one.high - 1:,}"


def _ticks(bins: Sequence[Bin]) -> str:
    """The bounds of a few bins, at even distances."""
    if not bins:
        return ""
    edges = [*(one.low for one in bins), bins[-1].high]
    step = max(1, -(-(len(edges) - 1) // _TICKS))
    chosen = [place for place in range(0, len(edges), step) if place + step <= len(edges) - 1]
    spans = "".join(
        f'<span style="left:{100 * place / (len(edges) - 1):.4g}%">{edges[place]:,}</span>'
        for place in (*chosen, len(edges) - 1)
    )
    return f'<div class="ticks">{spans}</div>'


def _shares(report: DatasetReport) -> str:
    total = max(1, report.usable_rows)
    labels = dict([*report.labels.items()][:_SHOWN_LABELS])
    parts = ""
    if labels:
        parts += f"<div><h2>Answers</h2>{_bars(labels, total, _percent(total))}</div>"
    if report.languages:
        note = "<p>Told by small words and by script; short rows, code and other languages are unknown.</p>"
        bars = _bars(report.languages, total, _percent(total))
        parts += f"<div><h2>Probable languages</h2>{bars}{note}</div>"
    return f'<div class="beside">{parts}</div>' if parts else ""


def _percent(total: int) -> Callable[[int], str]:
    return lambda count: f"{count:,} · {share_text(count / total)}"


def _bars(counts: Mapping[str, int], most: int, shown: Callable[[int], str]) -> str:
    """Horizontal bars with their names and what `shown` makes of each count."""
    rows = "".join(
        f"<span>{escape(name) or '(empty)'}</span>"
        f'<svg class="flat" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * count / max(1, most):.4g}" height="1"/></svg>'
        f"<span>{escape(shown(count))}</span>"
        for name, count in counts.items()
    )
    return f'<div class="bars">{rows}</div>'


def _rules(report: DatasetReport) -> str:
    if not report.rules:
        return "<h2>Findings</h2><p>None.</p>"
    return f"<h2>Findings by rule</h2>{_bars(report.rules, max(report.rules.values()), '{:,}'.format)}"


def _files(report: DatasetReport) -> str:
    if len(report.files) < 2:
        return ""
    rows = "".join(
        f"<tr><td>{_path(file.path)}</td>"
        + "".join(f'<td class="number">{count:,}</td>' for count in (file.rows, file.errors, file.warnings))
        + "</tr>"
        for file in report.files[:_SHOWN_FILES]
    )
    more = _more(len(report.files), _SHOWN_FILES, "files")
    names = ("rows", "errors", "warnings")
    head = "<th>file</th>" + "".join(f'<th class="number">{name}</th>' for name in names)
    return f"<h2>Files</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _findings(report: DatasetReport) -> str:
    if not report.findings:
        return ""
    rows = "".join(map(_finding, chosen(report.findings, _SHOWN_FINDINGS)))
    head = "<th>where</th><th>rule</th><th>what</th>"
    table = f'<table class="findings"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f"<h2>Each finding</h2>{table}{_more(report.finding_count, _SHOWN_FINDINGS, 'findings')}"


def _finding(finding: Finding) -> str:
    place = f"{finding.path}:{finding.line}" if finding.line else finding.path
    field = f"{escape(finding.field)}: " if finding.field else ""
    shown = f"<br><code>{escape(finding.example)}</code>" if finding.example else ""
    rule = f"{escape(finding.rule)} ({finding.severity})"
    return (
        f'<tr><td>{_path(place)}</td><td class="{finding.severity}">{rule}</td>'
        f"<td>{field}{escape(finding.message)}{shown}</td></tr>"
    )


def chosen(findings: Sequence[Finding], most: int) -> list[Finding]:
    """At most so many findings, of every rule the first ones, in their order."""
    by_rule: dict[tuple[str, str], list[int]] = {}
    for place, finding in enumerate(findings):
        by_rule.setdefault((finding.severity, finding.rule), []).append(place)
    ranked: Iterable[tuple[int, int]] = (
        (rank, place) for places in by_rule.values() for rank, place in enumerate(places)
    )
    kept = sorted(ranked)[:most]
    return [findings[place] for place in sorted(place for _, place in kept)]


def _more(count: int, shown: int, what: str) -> str:
    return f"<p>and {count - shown:,} more {what}</p>" if count > shown else ""
