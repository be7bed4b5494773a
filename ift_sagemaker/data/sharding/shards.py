"""The program of processing jobs that work on a set in pieces: `check` or `convert` on each host, `merge`.

Each host does the pieces that it was dealt, and what becomes of a piece has the piece's number for a name; so
results of all hosts lie in one folder, and it makes no difference who did what.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from ift_sagemaker.data.checking.check import Check
from ift_sagemaker.data.checking.depth import Depth
from ift_sagemaker.data.checking.examination import Examination
from ift_sagemaker.data.checking.tally import LedgerFindings
from ift_sagemaker.data.converting.conversion import convert_part
from ift_sagemaker.data.reading.sources import Stored
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.sharding.order import ORDER_FILE, REPORT_FILE, Piece, WorkOrder, piece_name
from ift_sagemaker.errors import DatasetError, IFTError
from ift_sagemaker.wire.paths import MLPaths

USAGE = "usage: ift_program check | merge | convert"
MESSAGE_BYTES = 1024
_ROWS_TOLD = 100_000


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of one host: 0 when its part is done, 1 with the reason as the job's ExitMessage."""
    root = MLPaths.from_environment().root
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        match words:
            case ["check"]:
                check_pieces(root / "processing")
            case ["merge"]:
                merge_pieces(root / "processing")
            case ["convert"]:
                convert_pieces(root / "processing")
            case _:
                _say(USAGE)
                return 2
    except Exception as error:  # noqa: BLE001 - whatever broke is told in the job's log and in its message
        traceback.print_exc()
        _explain(root, error)
        return 1
    return 0


def check_pieces(folder: Path) -> None:
    """Writes the state of the examination of every piece that is here into the output folder."""
    order = _order(folder)
    for number, piece, path in _here(order, folder):
        with _scratch(folder) as scratch, _examined(order, piece, path, scratch) as examination:
            examination.save(folder / "output" / piece_name(number))
            _say(f"{piece.address}: {examination.tally.rows.total():,} rows, all examined")


def merge_pieces(folder: Path) -> None:
    """Writes the report of all pieces, whose states are among the inputs, as `report.json`.

    Raises DatasetError where the state of a piece is missing.
    """
    order = _order(folder)
    states = [folder / "input" / "states" / piece_name(number) for number in range(len(order.pieces))]
    for state, piece in zip(states, order.pieces, strict=True):
        if not state.is_dir():
            raise DatasetError(f"no host has examined {piece.address}", path=piece.address)
    with _scratch(folder) as scratch, Examination.merged(states, _depth(order, scratch)) as whole:
        for address in order.empty:
            LedgerFindings(address, whole.tally.ledger).add(0, "", "empty-file", "has no rows")
        report = whole.report(order.name)
    text = json.dumps(report.to_dict(), ensure_ascii=True)
    (folder / "output" / REPORT_FILE).write_text(text, "utf-8")
    _say(f"{report.rows:,} rows, {report.finding_count:,} findings")


def convert_pieces(folder: Path) -> None:
    """Writes every piece that is here as a part of the target's file, and apart what became of its rows."""
    order = _order(folder)
    for number, piece, path in _here(order, folder):
        part = folder / "output" / "parts" / piece_name(number)
        part.parent.mkdir(parents=True, exist_ok=True)
        source = Stored(piece.address, _Staged(piece.address, path))
        count, findings = convert_part(
            source,
            part,
            to=str(order.target),
            format=str(piece.format),
            fields=order.fields,
            template=piece.template,
        )
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = part.stat().st_size
        if findings.errors:
            part.unlink()  # what is not whole is not left
        result = {"rows": count, "bytes": size, "sha256": digest, **_told(findings)}
        place = folder / "output" / "results" / f"{piece_name(number)}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(result, ensure_ascii=True), "utf-8")
        _say(f"{piece.address}: {count:,} rows converted")


class _Staged:
    """A storage of one object, which lies on this host."""

    def __init__(self, address: str, path: Path) -> None:
        self._address, self._path = address, path

    def files(self, address: str) -> Sequence[str] | None:
        return None if address == self._address else ()

    def open(self, address: str) -> IO[bytes]:
        if address != self._address:
            raise FileNotFoundError(2, "is not on this host", address)
        return self._path.open("rb", buffering=1 << 20)


def _order(folder: Path) -> WorkOrder:
    return WorkOrder.from_bytes((folder / "input" / "order" / ORDER_FILE).read_bytes())


def _here(order: WorkOrder, folder: Path) -> Iterator[tuple[int, Piece, Path]]:
    """(number, piece, its file) of those that this host was dealt."""
    for number, piece in enumerate(order.pieces):
        path = folder / "input" / piece.path
        if path.is_file():
            yield number, piece, path


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder on the job's volume: the container's own disk is small."""
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=folder) as name:
        yield Path(name)


def _depth(order: WorkOrder, scratch: Path) -> Depth:
    return Depth(frozenset(order.without), order.memory_bytes, scratch)


def _examined(order: WorkOrder, piece: Piece, path: Path, scratch: Path) -> Examination:
    def told(rows: int) -> None:
        if not rows % _ROWS_TOLD:
            _say(f"{piece.address}: {rows:,} rows")

    check = Check(
        target=order.target,
        depth=_depth(order, scratch),
        format=piece.format,
        fields=order.fields or None,
        template=piece.template,
        on_rows=told,
    )
    source = Stored(piece.address, _Staged(piece.address, path))
    return check.examined((), source, part=True) if piece.held_out else check.examined(source, part=True)


def _told(findings: Findings) -> dict[str, object]:
    return {
        "errors": [asdict(finding) for finding in findings.errors],
        "error_count": findings.error_count,
        "warnings": [asdict(finding) for finding in findings.warnings],
    }


def _say(line: str) -> None:
    print(f"ift: {line}", flush=True)  # noqa: T201 - the log of a job is its standard output


def _explain(root: Path, error: Exception) -> None:
    """The reason as the message that DescribeProcessingJob shows."""
    text = error.message if isinstance(error, IFTError) else f"{type(error).__name__}: {error}"
    with suppress(OSError):
        (root / "output").mkdir(parents=True, exist_ok=True)
        (root / "output" / "message").write_bytes(text.encode()[:MESSAGE_BYTES])
