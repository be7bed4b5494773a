"""From a tally to the report: statistics of counts, and the rules about the set as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ift_sagemaker.data.checking.depth import Depth
from ift_sagemaker.data.checking.limits import of_the_set
from ift_sagemaker.data.checking.report import DatasetReport, FileCounts, LengthStats, TokenCount, histogram
from ift_sagemaker.data.checking.tally import Tally
from ift_sagemaker.data.converting.targets import TARGETS
from ift_sagemaker.data.rows.finding import Finding, Severity, example
from ift_sagemaker.data.tokens.counter import ESTIMATE

_IMBALANCE = 0.9


def summary(tally: Tally, path: str, depth: Depth, against: Sequence[str]) -> DatasetReport:
    """The report of everything that was tallied. Findings of the whole set are added to its ledger."""
    labels = _labels(tally)
    if depth.has("imbalance"):
        _imbalance(tally, labels, path)
    target = ", ".join(tally.named("target")) or None
    if target is not None and target in TARGETS:
        for severity, rule, message in of_the_set(TARGETS[target], tally):
            tally.ledger.note(Finding(path, 0, "", rule, message, "", severity))
    counts = tally.ledger.counts
    prompts, completions = tally.prompts.counts(), tally.completions.counts()
    return DatasetReport(
        path=path,
        format=", ".join(tally.named("format")),
        rows=tally.rows.total() or tally.usable,
        findings=tally.ledger.findings(),
        finding_count=counts.total(),
        error_count=_total(tally, "error"),
        labels=labels,
        prompt_length=LengthStats.of_counts(prompts) if prompts else None,
        completion_length=LengthStats.of_counts(completions) if completions else None,
        usable_rows=tally.usable,
        rules=_by_rule(tally),
        files=_by_file(tally),
        prompt_histogram=histogram(prompts),
        completion_histogram=histogram(completions),
        languages=dict(sorted(tally.languages.items(), key=lambda item: (-item[1], item[0]))),
        tokens=_tokens(tally),
        target=target,
        against=tuple(against),
        left_out=tuple(sorted(depth.without)),
    )


def _labels(tally: Tally) -> dict[str, int]:
    counts = tally.labels.counts()
    return counts if len(counts) >= 2 and tally.usable >= 2 * len(counts) else {}


def _imbalance(tally: Tally, labels: dict[str, int], path: str) -> None:
    for label, most in [*labels.items()][:1]:
        if most / tally.usable > _IMBALANCE:
            message = f"{most} of {tally.usable} rows have one answer"
            tally.ledger.note(Finding(path, 0, "", "imbalance", message, example(label), "warning"))


def _total(tally: Tally, severity: Severity) -> int:
    return sum(count for (known, _, _), count in tally.ledger.counts.items() if known == severity)


def _by_rule(tally: Tally) -> dict[str, int]:
    """Most frequent first."""
    counts: Counter[str] = Counter()
    for (_, rule, _), count in tally.ledger.counts.items():
        counts[rule] += count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _by_file(tally: Tally) -> tuple[FileCounts, ...]:
    found: Counter[tuple[str, str]] = Counter()
    for (severity, _, path), count in tally.ledger.counts.items():
        found[path, severity] += count
    paths = sorted({*tally.rows, *(path for path, _ in found)})
    return tuple(
        FileCounts(path, tally.rows[path], found[path, "error"], found[path, "warning"]) for path in paths
    )


def _tokens(tally: Tally) -> TokenCount:
    basis = ", ".join(tally.named("tokens")) or f"estimate: {ESTIMATE}; without a chat template"
    return TokenCount(tally.sums["tokens"], tally.longest_tokens, basis)
