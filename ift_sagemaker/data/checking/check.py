"""`check`: every finding in a source of rows, at any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from os import PathLike

from ift_sagemaker.data.checking.depth import EVERYTHING, Depth
from ift_sagemaker.data.checking.examination import Examination
from ift_sagemaker.data.checking.limits import TargetRules, Tokens
from ift_sagemaker.data.checking.report import DatasetReport
from ift_sagemaker.data.checking.tally import LedgerFindings
from ift_sagemaker.data.converting.conversion import shape_for
from ift_sagemaker.data.converting.targets import target_named
from ift_sagemaker.data.reading.containers import read_files, template_beside
from ift_sagemaker.data.reading.sources import Source, Stored
from ift_sagemaker.data.rows.fields import FieldMap
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.formats import DETECTION_ROWS, RowShape
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.data.rows.pairs import pairing
from ift_sagemaker.data.rows.rules import plainly_good, rules_of
from ift_sagemaker.wire.template import PromptTemplate

Sources = Source | Sequence[Source]
_Placed = tuple[str, int, Row]
_TOLD_EVERY = 1_000


@dataclass(frozen=True)
class Check:
    """How rows are read and what they are checked for.

    `target` is a name of `TARGETS`. `count_tokens` gives the tokens of a text; without it they are estimated.
    `on_rows` is called with the number of rows read, after every 1,000.
    """

    target: str | None = None
    depth: Depth = EVERYTHING
    format: str | None = None
    fields: Mapping[str, str] | None = None
    template: PromptTemplate | None = None
    count_tokens: Callable[[str], int] | None = None
    on_rows: Callable[[int], None] = lambda _: None

    def __post_init__(self) -> None:
        if self.target is not None:
            target_named(self.target, "target")

    def report(self, sources: Sources, against: Sources | None = None) -> DatasetReport:
        """The report of the sources."""
        with self.examined(sources, against) as examination:
            return examination.report(", ".join(map(str, _all(sources))))

    def examined(
        self, sources: Sources, against: Sources | None = None, *, part: bool = False
    ) -> Examination:
        """The examination of the sources: to be reported, or saved and merged with those of other parts.

        With `part` each is a part of a source, which may have no rows while others of its parts do.
        """
        examination = Examination(self.depth)
        try:
            if self.target is not None:
                examination.tally.name("target", self.target)
            if self.count_tokens is not None:
                examination.tally.name("tokens", "counted by a tokenizer")
            for source in _all(sources):
                _Reading(self, examination, source, part=part).examine()
            for source in _all(against or ()):
                _Reading(self, examination, source, part=part).hold_out()
        except BaseException:
            examination.close()
            raise
        return examination


def check(
    source: Sources,
    *,
    target: str | None = None,
    against: Sources | None = None,
    depth: Depth | None = None,
    format: str | None = None,  # noqa: A002 - the word of the field
    fields: Mapping[str, str] | None = None,
    template: PromptTemplate | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> DatasetReport:
    """Every error and warning in the rows of files or folders, and their figures; memory does not grow.

    With `target`, a name of `TARGETS`, also what that service would refuse. With `against`, other files or
    folders, rows whose prompt is there too, or nearly. Rows that cannot be used raise nothing: they are
    errors of the report. Raises ConfigError for an unknown target or format, DatasetError where the rows have
    no known format and where nothing of `against` can be read.
    """
    chosen = Check(target, depth or EVERYTHING, format, fields, template, count_tokens)
    return chosen.report(source, against)


def _all(sources: Sources) -> list[Source]:
    return [sources] if isinstance(sources, (str, PathLike, Stored)) else list(sources)


class _Reading:
    """One source being read."""

    def __init__(self, check: Check, examination: Examination, source: Source, *, part: bool) -> None:
        self._check, self._examination, self._tally = check, examination, examination.tally
        self._is_part = part
        self._rows_at, self._source = source, str(source)
        self._template = check.template or template_beside(source)
        # two: reading may be ahead of the rules, in the next file of a folder
        self._read: Findings = LedgerFindings(self._source, self._tally.ledger)
        self._ruled: Findings = LedgerFindings(self._source, self._tally.ledger)

    def examine(self) -> None:
        """Rows into the examination, errors and warnings into its ledger."""
        found = self._with_shape()
        if found is None:
            return
        shape, rows = found
        self._tally.name("format", shape.name)
        self._ruled.field_of = shape.field
        read = self._usable(rows, shape, count=True)
        examine = _Examiner(self._check, self._examination, shape, self._template)
        for path, line, row in read:
            examine.take(path, line, row, self._ruled)

    def hold_out(self) -> None:
        """Prompts of rows that can be used, as held out; nothing else of them is looked at."""
        self._read, self._ruled = Findings(self._source), Findings(self._source)  # not what is checked
        found = self._with_shape()
        if found is None:
            if not self._is_part:
                self._read.raise_errors()
            return
        shape, rows = found
        pair = pairing(shape.canonical, self._template)
        for path, line, row in self._usable(rows, shape, count=False):
            self._examination.hold_out(path, line, pair(row)[0])

    def _with_shape(self) -> tuple[RowShape, Iterator[_Placed]] | None:
        rows, before = self._placed(), self._tally.ledger.counts.total()
        first = list(islice(rows, DETECTION_ROWS))
        if not first:
            if not self._is_part and self._tally.ledger.counts.total() == before:
                self._read.path = self._source
                self._read.add(0, "", "empty-file", "has no rows")
            return None
        own = Findings(self._source)  # raises only where no format is known
        shape = shape_for(self._check.format, self._template, [row for *_, row in first], own)
        return shape, chain(first, rows)

    def _placed(self) -> Iterator[_Placed]:
        findings = self._read
        mapping = FieldMap(self._check.fields) if self._check.fields else None
        for line, row in read_files(self._rows_at, findings):
            yield findings.path, line, mapping.apply(row) if mapping else row

    def _usable(self, rows: Iterable[_Placed], shape: RowShape, *, count: bool) -> Iterator[_Placed]:
        """Canonical rows in which the rules found no error."""
        rules = rules_of(shape.canonical, self._template, tools=self._check.target is not None)
        is_plainly_good, findings, read = plainly_good(rules), self._ruled, shape.read
        counts, on_rows = self._tally.rows, self._check.on_rows
        for path, line, source_row in rows:
            row = read(source_row)
            for one in row if isinstance(row, list) else (row,):
                findings.path = path
                if count:
                    counts[path] += 1
                    if not counts[path] % _TOLD_EVERY:
                        on_rows(counts.total())
                good = one if is_plainly_good(one) else rules.normalise(one, line, findings)
                if good is not None:
                    yield path, line, good


class _Examiner:
    """What becomes of a usable row: the target's rules, its tokens, the examination of its texts."""

    def __init__(
        self, check: Check, examination: Examination, shape: RowShape, template: PromptTemplate | None
    ) -> None:
        self._examination = examination
        self._tally = examination.tally
        self._pair = pairing(shape.canonical, template)
        self._tokens = Tokens(check.count_tokens)
        self._row_rules = rules_of(shape.canonical, template, tools=check.target is not None)
        target = target_named(check.target, "target") if check.target is not None else None
        self._rules = TargetRules(target, shape, template) if target else None

    def take(self, path: str, line: int, row: Row, findings: Findings) -> None:
        try:
            prompt, completion = self._pair(row)
            prompt.encode()
            completion.encode()
        except UnicodeEncodeError:  # half of a surrogate pair: the rules name the field
            if self._row_rules.normalise(row, line, findings) is not None:
                raise
            return
        tokens = self._tokens.of(prompt, completion)
        if self._rules is not None:
            size = self._rules.check(row, line, findings)
            if self._tokens.are_counted:
                self._rules.check_tokens(tokens, line, findings)
            else:
                self._rules.check_characters(len(prompt) + len(completion), line, findings)
            if size is None:
                return
            self._tally.sums["bytes"] += size
        self._tally.sums["tokens"] += tokens
        self._tally.longest_tokens = max(tokens, self._tally.longest_tokens)
        self._examination.add(path, line, prompt, completion)
