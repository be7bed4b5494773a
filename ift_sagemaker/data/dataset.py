"""`InstructionDataset`: checked rows, their template, and the bytes they become."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from html import escape
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import jsonlines

from ift_sagemaker.data.checking.report import DatasetReport
from ift_sagemaker.data.converting.conversion import canonical_rows, learnable_shape
from ift_sagemaker.data.reading.containers import read_files, template_beside
from ift_sagemaker.data.reading.frames import present, rows_of_frame
from ift_sagemaker.data.reading.sources import Source
from ift_sagemaker.data.rows.fields import FieldMap, value_at
from ift_sagemaker.data.rows.finding import Finding, Findings
from ift_sagemaker.data.rows.formats import Format
from ift_sagemaker.data.rows.instruction import OPTIONAL_FIELDS, Row
from ift_sagemaker.data.rows.pairs import asked_in
from ift_sagemaker.data.rows.rules import RowRules, rules_of
from ift_sagemaker.data.shaping.sight import LABEL, plain_text
from ift_sagemaker.data.shaping.split import check_shares, split_by_prompt
from ift_sagemaker.data.tokens import statistics
from ift_sagemaker.data.tokens.counter import TokenCounter
from ift_sagemaker.data.tokens.rendering import RenderedRow, render_row
from ift_sagemaker.data.tokens.tokenizer import ModelTokenizer
from ift_sagemaker.errors import ConfigError, TemplateError
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters
from ift_sagemaker.wire.rows import TRAIN_FILE, encode_row, to_messages
from ift_sagemaker.wire.template import ALPACA, TEMPLATE_FILE, PromptTemplate

if TYPE_CHECKING:
    import pandas as pd

    from ift_sagemaker.data.checking.depth import Depth
    from ift_sagemaker.data.shaping.partition import By

DEFAULT_LENGTH = int(parse_hyperparameters({})["max_input_length"])
"""Tokens of the longest row that a run takes unless it says otherwise."""
_SHOWN_ROWS = 5
_SHOWN_CELL = 80
_Numbered = Sequence[tuple[int, Mapping[str, Any]]]


class InstructionDataset:
    """Instruction rows in memory, checked. Made by `read`, `from_rows`, `from_pandas`, `from_datasets`."""

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        format: Format,  # noqa: A002 - the word of the field
        template: PromptTemplate | None,
        path: str = "<rows>",
        lines: Sequence[int] | None = None,
        warnings: Sequence[Finding] = (),
    ) -> None:
        self._rows = list(rows)
        self._lines = list(lines) if lines is not None else list(range(1, len(rows) + 1))
        self._warnings = tuple(warnings)
        self.format: Format = format
        self.template = template
        self.path = path

    @classmethod
    def read(
        cls,
        path: Source,
        *,
        format: str | None = None,  # noqa: A002
        fields: Mapping[str, str] | None = None,
        template: PromptTemplate | None = None,
    ) -> InstructionDataset:
        """The rows of a file, or of a folder's files: JSON lines, JSON, CSV, Parquet, .gz and .zst.

        In S3 as well, through a session (`Session.read`). A folder's own `template.json` is its template.

        `format` is one of `ift_sagemaker.data.FORMATS`; without it, it is seen from the first rows.

        `fields` maps canonical names to the file's own, dotted paths allowed:
        `{"instruction": "question", "output": "meta.answer"}`. With a `template` the rows need the fields
        it names. Raises DatasetError with every finding of the file, TemplateError for a placeholder that
        no row has.
        """
        findings = Findings(str(path))
        numbered = list(read_files(path, findings))
        findings.path = str(path)
        if not numbered:
            findings.raise_errors()
        return cls._checked(numbered, findings, format, fields, template or template_beside(path))

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        *,
        format: str | None = None,  # noqa: A002
        fields: Mapping[str, str] | None = None,
        template: PromptTemplate | None = None,
    ) -> InstructionDataset:
        """A dataset of Python rows, checked as `read` checks a file; lines count from 1."""
        return cls._checked(list(enumerate(rows, start=1)), Findings("<rows>"), format, fields, template)

    @classmethod
    def from_pandas(
        cls,
        frame: pd.DataFrame,
        *,
        format: str | None = None,  # noqa: A002
        fields: Mapping[str, str] | None = None,
        template: PromptTemplate | None = None,
    ) -> InstructionDataset:
        """A dataset of a frame's rows; missing values count as absent fields."""
        numbered = list(enumerate(rows_of_frame(frame), start=1))
        return cls._checked(numbered, Findings("<frame>"), format, fields, template)

    @classmethod
    def from_datasets(
        cls,
        rows: Iterable[Mapping[str, Any]] | Mapping[str, Any],
        *,
        format: str | None = None,  # noqa: A002
        fields: Mapping[str, str] | None = None,
        template: PromptTemplate | None = None,
        limit: int | None = None,
    ) -> InstructionDataset:
        """A dataset of a split of Hugging Face `datasets`: a `Dataset` or a streamed `IterableDataset`.

        `limit` ends a stream after so many rows; absent values count as absent fields. Raises ConfigError
        for a `DatasetDict`, of which one split has to be chosen.
        """
        if isinstance(rows, Mapping):
            raise ConfigError(
                f"choose a split, as in data[{next(iter(rows), 'train')!r}]; there are {', '.join(rows)}",
                field="rows",
                allowed="a Dataset or an IterableDataset",
            )
        numbered = list(enumerate(map(present, islice(rows, limit)), start=1))
        return cls._checked(numbered, Findings("<datasets>"), format, fields, template)

    @classmethod
    def _checked(
        cls,
        numbered: _Numbered,
        findings: Findings,
        format_name: str | None,
        fields: Mapping[str, str] | None,
        template: PromptTemplate | None,
    ) -> InstructionDataset:
        mapping = FieldMap(fields)
        mapped = [(line, mapping.apply(row)) for line, row in numbered]
        if not mapped:
            findings.add(0, "", "empty-file", "has no rows")
            findings.raise_errors()
        shape = learnable_shape(format_name, template, [row for _, row in mapped], findings)
        rows = list(canonical_rows(iter(mapped), shape))
        if template is not None:
            template.check({*OPTIONAL_FIELDS, *chain.from_iterable(row for _, row in rows)})
        template = template or (ALPACA if shape.canonical == "alpaca" else None)
        rules = _rules_of(template)
        findings.field_of = shape.field
        good = [(line, rules.normalise(row, line, findings)) for line, row in rows]
        findings.raise_errors()
        return cls(
            [row for _, row in good if row is not None],
            format=shape.canonical,
            template=template,
            path=findings.path,
            lines=[line for line, _ in good],
            warnings=findings.warnings,
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return (dict(row) for row in self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> InstructionDataset: ...
    def __getitem__(self, index: int | slice) -> Row | InstructionDataset:
        if isinstance(index, slice):
            return self._subset(range(len(self._rows))[index])
        return dict(self._rows[index])

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the rows, in order of first appearance."""
        return tuple(dict.fromkeys(chain.from_iterable(self._rows)))

    def prompt(self, row: Mapping[str, Any]) -> str:
        """What the model is asked. A chat of several turns is written out as `role: content` lines."""
        return asked_in(to_messages(row, self.template)[:-1])

    def completion(self, row: Mapping[str, Any]) -> str:
        """What the model is to answer."""
        return to_messages(row, self.template)[-1]["content"]

    def numbered_prompts(self) -> Iterator[tuple[int, str]]:
        """The line of every row, and its prompt."""
        for line, row in zip(self._lines, self._rows, strict=True):
            yield line, self.prompt(row)

    def check(
        self, *, against: InstructionDataset | None = None, depth: Depth | None = None
    ) -> DatasetReport:
        """Warnings and figures. With `against`, also rows whose prompt is there too, or nearly (leakage)."""
        from ift_sagemaker.data.checking.examination import Examination

        with Examination(depth) as examination:
            tally = examination.tally
            tally.name("format", self.format)
            tally.rows[self.path] += len(self)
            for warning in self._warnings:
                tally.ledger.note(replace(warning, path=self.path))
            for line, row in zip(self._lines, self._rows, strict=True):
                examination.add(self.path, line, self.prompt(row), self.completion(row))
            if against is not None:
                for line, prompt in against.numbered_prompts():
                    examination.hold_out(against.path, line, prompt)
            return examination.report(self.path)

    def render(
        self, tokenizer: ModelTokenizer | str | PathLike[str] | None = None, *, rows: int | None = None
    ) -> list[RenderedRow]:
        """The first `rows` (all) as the model will see them, with what is trained marked.

        `tokenizer` is a model's folder or `tokenizer.json`: the text is then, by its chat template, that of
        the very tokens that are trained on. Without one the turns are shown. Raises TemplateError, with the
        row's place, where the chat template refuses a row.
        """
        chosen = _tokenizer(tokenizer)
        rendered = []
        for line, row in zip(self._lines[:rows], self._rows[:rows], strict=True):
            try:
                rendered.append(render_row(line, to_messages(row, self.template), chosen))
            except TemplateError as error:
                raise TemplateError(f"{self.path}:{line}: {error.message}", field=error.field) from error
        return rendered

    def stats(
        self,
        tokenizer: ModelTokenizer | str | PathLike[str] | None = None,
        *,
        max_length: int = DEFAULT_LENGTH,
        exact: bool = False,
        seed: int = 0,
    ) -> statistics.DatasetStats:
        """Rows, columns, characters and tokens, and how they pack into sequences of `max_length` tokens.

        By `tokenizer` the tokens of 2,000 rows drawn by `seed` are counted and those of all told with an
        error, or with `exact` all are counted (about a second for a million tokens). Without a tokenizer they
        are estimated, and said to be.
        """
        if max_length < 1:
            raise ConfigError(
                f"max_length is at least 1 token, got {max_length}", field="max_length", value=max_length
            )
        conversations = [to_messages(row, self.template) for row in self._rows]
        counter = TokenCounter(_tokenizer(tokenizer))
        return statistics.DatasetStats(
            self.path,
            self.format,
            len(self),
            statistics.filled_columns(self._rows),
            sum(map(statistics.characters_of, conversations)),
            statistics.token_stats(
                conversations,
                self._lines,
                counter,
                max_length=max_length,
                sample=None if exact else statistics.SAMPLE_ROWS,
                seed=seed,
            ),
        )

    @overload
    def split(
        self,
        *,
        test_size: float = ...,
        validation_size: None = None,
        seed: int = ...,
        stratify: str | None = ...,
        near: bool = ...,
    ) -> tuple[InstructionDataset, InstructionDataset]: ...
    @overload
    def split(
        self,
        *,
        test_size: float = ...,
        validation_size: float,
        seed: int = ...,
        stratify: str | None = ...,
        near: bool = ...,
    ) -> tuple[InstructionDataset, InstructionDataset, InstructionDataset]: ...
    def split(
        self,
        *,
        test_size: float = 0.2,
        validation_size: float | None = None,
        seed: int = 0,
        stratify: str | None = None,
        near: bool = False,
    ) -> tuple[InstructionDataset, ...]:
        """(train, test), or (train, validation, test): a partition that keeps the order and never parts rows
        of the same prompt, nor, with `near`, of prompts nearly the same (see `split_rows`).

        `test_size` is the share of rows for test, over 0 and under 1: n rows with different prompts give
        round(n * test_size) test rows, at least 1 and leaving at least 1. Where prompts repeat it may be
        fewer, and more only where every prompt has more rows than that. With `stratify`, a column or `label`
        (that column, or else the answer), each part has its share of each value. The same rows, seed and
        sizes give the same parts, in any order of rows. Raises ConfigError where no such partition exists.
        """
        prompts = [self.prompt(row) for row in self._rows]
        if validation_size is None and stratify is None and not near:
            train, test = split_by_prompt(prompts, test_size=test_size, seed=seed)
            return self._subset(train), self._subset(test)
        from ift_sagemaker.data.shaping.parting import sides_of

        shares = check_shares(test_size, validation_size)
        sides = sides_of(prompts, self._strata(stratify), shares, seed=seed, near=near)
        parts = [
            self._subset(place for place, side in enumerate(sides) if side == part)
            for part in ((0, 1) if validation_size is None else (0, 2, 1))
        ]
        return tuple(parts)

    def _strata(self, stratify: str | None) -> list[str | None]:
        if stratify is None:
            return [None] * len(self)
        findings = Findings(self.path)
        strata = [self._stratum(row, stratify) for row in self._rows]
        for line, stratum in zip(self._lines, strata, strict=True):
            if stratum is None:
                findings.add(line, stratify, "missing", "is missing, rows are stratified by it")
        findings.raise_errors()
        return strata

    def _stratum(self, row: Row, stratify: str) -> str | None:
        value = value_at(row, stratify)
        if value is None and stratify == LABEL:
            value = self.completion(row)
        return None if value is None else plain_text(value)

    def dedupe(self, *, near: bool = False, by: By = "example") -> InstructionDataset:
        """Without repetitions, the first of equal rows kept; see `dedupe_rows` for `near` and `by`."""
        from ift_sagemaker.data.shaping.partition import compared
        from ift_sagemaker.data.shaping.repeats import kept_of

        return self._subset(
            kept_of(
                (compared(row, [(self.prompt(row), self.completion(row))], by) for row in self._rows),
                near=near,
            )
        )

    def sample(
        self, count: int | None = None, *, share: float | None = None, seed: int = 0
    ) -> InstructionDataset:
        """`count` rows or a `share` of them, in their order, as `sample_rows` chooses them."""
        from ift_sagemaker.data.shaping.shuffling import check_wanted, sampled, wanted_of

        check_wanted(count, share)
        return self._subset(sampled(len(self), wanted_of(len(self), count, share), seed))

    def shuffle(self, *, seed: int = 0) -> InstructionDataset:
        """The rows in the random order that `shuffle_rows` gives them."""
        from ift_sagemaker.data.shaping.shuffling import shuffled

        return self._subset(shuffled(len(self), seed))

    def _subset(self, indexes: Iterable[int]) -> InstructionDataset:
        chosen = list(indexes)
        lines = [self._lines[index] for index in chosen]
        kept = set(lines)
        return InstructionDataset(
            [self._rows[index] for index in chosen],
            format=self.format,
            template=self.template,
            path=self.path,
            lines=lines,
            warnings=[warning for warning in self._warnings if warning.line in kept],
        )

    def wire_files(self) -> dict[str, bytes]:
        """`train.jsonl`, and `template.json` for instruction rows, as they travel."""
        rules = _rules_of(self.template)
        files = {TRAIN_FILE: b"".join(encode_row(rules.wire_row(row)) for row in self._rows)}
        if self.template is not None:
            files[TEMPLATE_FILE] = self.template.to_json().encode()
        return files

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, 64 hex digits, over names, lengths and bytes of the wire files."""
        digest = hashlib.sha256()
        for name, content in sorted(self.wire_files().items()):
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()

    def write(self, path: str | PathLike[str]) -> None:
        """Writes all columns as JSON lines, readable by `read` with the same template."""
        with Path(path).open("wb") as file, jsonlines.Writer(file, dumps=_dumps) as writer:
            writer.write_all(self._rows)

    def to_pandas(self) -> pd.DataFrame:
        """One row each, one column per field."""
        import pandas as pd

        return pd.DataFrame(self._rows, columns=list(self.columns))

    def __repr__(self) -> str:
        return f"InstructionDataset({self.path!r}, {len(self)} rows, format={self.format!r})"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(row.get(name))}</td>" for name in self.columns) + "</tr>"
            for row in self._rows[:_SHOWN_ROWS]
        )
        title = f"{escape(self.path)}: {len(self)} rows, format {self.format}"
        return f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _tokenizer(named: ModelTokenizer | str | PathLike[str] | None) -> ModelTokenizer | None:
    return named if named is None or isinstance(named, ModelTokenizer) else ModelTokenizer(named)


def _rules_of(template: PromptTemplate | None) -> RowRules:
    return rules_of("chat" if template is None else "alpaca", template)


def _dumps(row: Row) -> str:
    return encode_row(row).decode().rstrip("\n")


def _cell(value: Any) -> str:
    text = str("" if value is None else value)
    return escape(text if len(text) <= _SHOWN_CELL else f"{text[: _SHOWN_CELL - 1]}…")
