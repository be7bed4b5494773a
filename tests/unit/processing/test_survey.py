"""What is found out about a source before it is dealt out, from its listing and its first rows."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import pytest

from ift_sagemaker.data.reading.sources import Stored
from ift_sagemaker.errors import ConfigError, DatasetError, UnsupportedError
from ift_sagemaker.processing.survey import survey
from ift_sagemaker.wire.template import PromptTemplate

ROW = b'{"instruction": "What?", "output": "That."}\n'
TEMPLATE = PromptTemplate("Ask: {instruction}", "{output}")


@dataclass(frozen=True)
class Shelf:
    """A storage of a few objects below s3://b/."""

    content: Mapping[str, bytes]

    def files(self, address: str) -> Sequence[str] | None:
        return None if address in self.content else sorted(self.content)

    def open(self, address: str) -> IO[bytes]:
        return io.BytesIO(self.content[address])


def _stored(**content: bytes) -> Stored:
    return Stored(
        "s3://b/", Shelf({"s3://b/" + ".".join(name.rsplit("_", 1)): data for name, data in content.items()})
    )


def test_objects_that_hold_rows_are_listed_and_the_first_rows_tell_the_format() -> None:
    source = _stored(a_jsonl=b"", b_jsonl=ROW, readme_md=b"#", template_json=TEMPLATE.to_json().encode())
    found = survey(source)
    assert found.addresses == ("s3://b/a.jsonl", "s3://b/b.jsonl")
    assert (found.format, found.template) == ("alpaca", TEMPLATE)
    assert survey(source, format="dolly", template=PromptTemplate("{a}", "{b}")).format == "dolly"


def test_a_source_without_rows_has_no_format_and_one_without_a_file_for_rows_is_refused() -> None:
    assert survey(_stored(a_jsonl=b"\n")).format is None
    damaged = survey(_stored(a_jsonl=b"no row\n"))
    assert (damaged.format, damaged.findings.error_count) == (None, 1)
    with pytest.raises(DatasetError, match="holds no file"):
        survey(_stored(readme_md=b"#"))


def test_columns_are_named_before_the_format_is_looked_for() -> None:
    source = _stored(a_jsonl=b'{"q": "What?", "a": "That."}\n')
    with pytest.raises(DatasetError, match="no known format has the fields q, a"):
        survey(source)
    assert survey(source, fields={"instruction": "q", "output": "a"}).format == "alpaca"
    with pytest.raises(ConfigError, match="no format 'none'"):
        survey(source, format="none")


def test_what_only_the_whole_folder_can_tell_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="images with prompts"):
        survey(_stored(one_png=b"", dataset_info_json=b"{}", more_jsonl=ROW))
    with pytest.raises(UnsupportedError, match="labels are named"):
        survey(_stored(data_csv=b"0,text\n", labels_json=b'{"0": "no"}'))
