"""`check` and `convert` of rows in S3 by as many instances as are asked for.

Two jobs check: the first examines every object on some host, the second merges what is known of them, since
that may be more than the caller's machine could fetch or hold. One job converts; what it wrote is put into
place by S3 itself once all rows are known to be good.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ift_sagemaker.data.checking.check import Check
from ift_sagemaker.data.checking.report import DatasetReport
from ift_sagemaker.data.checking.report_reading import report_of
from ift_sagemaker.data.converting.conversion import Conversion, check_count
from ift_sagemaker.data.converting.targets import Sheet, Target, target_named
from ift_sagemaker.data.rows.finding import Finding, Findings
from ift_sagemaker.data.sending.manifest import Manifest, ManifestFile, require_key
from ift_sagemaker.data.sending.outgoing import Outgoing, hashed
from ift_sagemaker.data.sharding.order import REPORT_FILE, Piece, WorkOrder, piece_name
from ift_sagemaker.errors import (
    ConfigError,
    RequestRejectedError,
    ResourceNotFoundError,
    UnsupportedError,
)
from ift_sagemaker.plan.processing import Fleet, path_of, plan_merge, plan_pieces
from ift_sagemaker.processing.job import OnProgress, ProcessingJob, run_job
from ift_sagemaker.processing.survey import Survey, survey
from ift_sagemaker.session import Session
from ift_sagemaker.wire.program import data_program
from ift_sagemaker.wire.template import PromptTemplate

_JOINED = (".jsonl", ".txt")
"""Files of which parts are as good as the whole."""


def _unwatched(_: ProcessingJob) -> AbstractContextManager[OnProgress]:
    return nullcontext(lambda _: None)


@dataclass(frozen=True)
class Running:
    """On what jobs run, for how many seconds each is waited for, and who watches: of each job a callback."""

    fleet: Fleet = field(default_factory=Fleet)
    retry: bool = False
    timeout: float | None = None
    watching: Callable[[ProcessingJob], AbstractContextManager[OnProgress]] = _unwatched

    def wait(self, job: ProcessingJob) -> None:
        with self.watching(job) as on_progress:
            job.wait(self.timeout, on_progress)


def check(
    session: Session,
    sources: Sequence[str],
    how: Check,
    *,
    against: Sequence[str] = (),
    running: Running | None = None,
) -> DatasetReport:
    """The report that `how.report` gives of the same addresses, worked out by processing jobs (billed).

    The same call again attaches to the jobs of the same objects. Raises what `Check.report` raises,
    UnsupportedError for a tokenizer's count and for what cannot be dealt out, ConfigError for more instances
    than objects, ProcessingJobFailed, ProcessingJobStopped and WaitTimeout as `ProcessingJob.wait`.
    """
    running = running or Running()
    if how.count_tokens is not None:
        raise UnsupportedError(
            "counting by a tokenizer is not offered in processing jobs yet: leave --tokenizer or --on away",
            feature="counting tokens in processing jobs",
        )
    order = _check_order(session, sources, against, how)
    stamps = _stamps(session, order, running.fleet)
    place, program = session.place(), data_program()
    plan, job = run_job(
        session,
        lambda attempt: plan_pieces("check", order, stamps, running.fleet, place, program, attempt),
        retry=running.retry,
    )
    running.wait(job)
    merge, job = run_job(
        session,
        lambda attempt: plan_merge(order, plan, running.fleet, program, attempt),
        retry=running.retry,
    )
    running.wait(job)
    return report_of(_read_json(session, merge.results + REPORT_FILE))


@dataclass(frozen=True)
class ConvertedData:
    """Converted rows in S3: `uri` of the folder, `manifest_uri` beside it, and what the conversion did."""

    uri: str
    manifest_uri: str
    conversion: Conversion

    def to_dict(self) -> dict[str, Any]:
        return {"uri": self.uri, "manifest_uri": self.manifest_uri, **self.conversion.to_dict()}


def convert(
    session: Session,
    source: str,
    destination: str,
    *,
    to: str,
    format: str | None = None,  # noqa: A002 - the word of the field
    fields: Mapping[str, str] | None = None,
    template: PromptTemplate | None = None,
    running: Running | None = None,
) -> ConvertedData:
    """The rows of `source` as parts of target `to` below `destination`, both `s3://`, by a job (billed).

    Parts, joined in the order of their names, are the file that `ift.data.convert` writes. Where any row is
    wrong DatasetError names every such row and nothing is below `destination`. Raises as `check` does,
    ConfigError for a destination that is there already, UnsupportedError for targets with images or labels
    that are numbered as they come.
    """
    running, target = running or Running(), target_named(to, "to")
    _refuse_target(target)
    _refuse_taken(session, destination)
    found = survey(session.at(source), format=format, fields=fields, template=template)
    if found.format is None:
        _note_empty(found)
        found.findings.raise_errors()
    order = WorkOrder(source, _pieces([found]), to, dict(fields or {}))
    stamps = _stamps(session, order, running.fleet)
    place, program = session.place(), data_program()
    plan, job = run_job(
        session,
        lambda attempt: plan_pieces("convert", order, stamps, running.fleet, place, program, attempt),
        retry=running.retry,
    )
    running.wait(job)
    results = [_result(session, plan.results, number, piece) for number, piece in enumerate(order.pieces)]
    findings = _joined(source, results)
    rows = sum(result["rows"] for result in results)
    check_count(rows, target, findings)
    findings.path = source
    findings.raise_errors()
    return _published(session, plan.results, destination, target, found, results, findings)


# -- what is asked


def _check_order(session: Session, sources: Sequence[str], against: Sequence[str], how: Check) -> WorkOrder:
    look = partial(survey, format=how.format, fields=how.fields, template=how.template)
    own, held_out = ([look(session.at(address)) for address in given] for given in (sources, against))
    for found in held_out:
        if found.format is None:
            _note_empty(found)
            found.findings.raise_errors()
    return WorkOrder(
        name=", ".join(sources),
        pieces=(*_pieces(own), *_pieces(held_out, held_out=True)),
        target=how.target,
        fields=dict(how.fields or {}),
        without=tuple(sorted(how.depth.without)),
        memory_bytes=how.depth.memory_bytes,
        empty=tuple(
            address
            for address, found in zip(sources, own, strict=True)
            if found.format is None and not found.findings.error_count
        ),
    )


def _note_empty(found: Survey) -> None:
    if not found.findings.error_count:
        found.findings.add(0, "", "empty-file", "has no rows")


def _pieces(found: Sequence[Survey], *, held_out: bool = False) -> tuple[Piece, ...]:
    return tuple(
        Piece(address, path_of(address), one.format, one.template, held_out)
        for one in found
        for address in one.addresses
    )


def _stamps(session: Session, order: WorkOrder, fleet: Fleet) -> dict[str, tuple[str, int]]:
    """ETag and size of every object; refuses keys that lead elsewhere as names of files."""
    addresses = list(dict.fromkeys(piece.address for piece in order.pieces))
    if not 1 <= fleet.instances <= len(addresses):
        raise ConfigError(
            f"{fleet.instances} instances for {len(addresses)} objects: an object is done by one, so the "
            "others would be paid for nothing; ask for fewer, or write the rows as more objects",
            field="instances",
            value=fleet.instances,
            allowed=f"1 to {len(addresses)}",
        )
    for address in addresses:
        require_key(address.removeprefix("s3://").partition("/")[2])
    return session.client.files.stamps(addresses)


def _refuse_target(target: Target) -> None:
    if "image" in target.writers or Path(target.file or "").suffix not in _JOINED:
        raise UnsupportedError(
            f"{target.name} is not written in parts: its images are copied, or its labels numbered, over all "
            "rows at once; leave --on away",
            feature=f"converting to {target.name} in processing jobs",
        )


def _refuse_taken(session: Session, destination: str) -> None:
    try:
        session.client.files.files(destination)
    except ResourceNotFoundError as error:
        if error.code != "NoSuchKey":
            raise
        return
    raise ConfigError(
        f"{destination} is there already: name a new prefix", field="destination", value=destination
    )


# -- what came of it


def _read_json(session: Session, uri: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ift-result-") as work:
        path = Path(work) / "result.json"
        session.patience.call(lambda: session.client.objects.get(uri, path))
        value: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return value


def _result(session: Session, results: str, number: int, piece: Piece) -> dict[str, Any]:
    try:
        return _read_json(session, f"{results}results/{piece_name(number)}.json")
    except ResourceNotFoundError as error:
        raise RequestRejectedError(
            f"no host of the job has converted {piece.address}: was it deleted meanwhile?",
            operation="GetObject",
            code=error.code,
        ) from error


def _joined(source: str, results: Sequence[Mapping[str, Any]]) -> Findings:
    findings = Findings(source)
    for result in results:
        findings.absorb([Finding(**one) for one in result["errors"]], "error", result["error_count"])
        findings.absorb([Finding(**one) for one in result["warnings"]], "warning", len(result["warnings"]))
    return findings


def _published(
    session: Session,
    results: str,
    destination: str,
    target: Target,
    found: Survey,
    parts: Sequence[Mapping[str, Any]],
    findings: Findings,
) -> ConvertedData:
    """Copies the parts within S3, then the files beside them and, last, the manifest."""
    objects, folder = session.client.objects, destination.rstrip("/")
    suffix = Path(target.file or "").suffix
    files: list[ManifestFile] = []
    for number, part in enumerate(parts):
        if not part["bytes"]:
            continue
        file = ManifestFile(f"part-{piece_name(len(files))}{suffix}", part["bytes"], part["sha256"])
        objects.copy(f"{results}parts/{piece_name(number)}", f"{folder}/{file.name}", file.size)
        files.append(file)
    for name, content in target.beside(Sheet(found.template)).items():
        item = hashed(name, content)
        _put(session, f"{folder}/{name}", item)
        files.append(ManifestFile(name, item.size, item.sha256))
    rows = sum(part["rows"] for part in parts)
    manifest = Manifest(
        fingerprint=hashlib.sha256(
            "".join(f"{file.name}\0{file.size}\0{file.sha256}\0" for file in files).encode()
        ).hexdigest(),
        files=tuple(files),
        rows=rows,
        format=target.name,
        template=found.template,
    )
    manifest_uri = f"{folder}.manifest.json"
    _put(session, manifest_uri, hashed("manifest.json", manifest.to_bytes()))
    conversion = Conversion(
        findings.path,
        str(found.format),
        target.name,
        rows,
        tuple(file.name for file in files),
        findings.warnings,
    )
    return ConvertedData(f"{folder}/", manifest_uri, conversion)


def _put(session: Session, uri: str, item: Outgoing) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    session.client.objects.send(bucket, key, item, sending=session.sending, patience=session.patience)
