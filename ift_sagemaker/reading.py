"""Rows from wherever they lie: in memory, on this machine or in S3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.reading.sources import REMOTE, Stored
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.wire.template import PromptTemplate

Data = InstructionDataset | Stored | str | Path


@dataclass(frozen=True)
class Reader:
    """Reads rows with the rights of one account."""

    client: AWSClient

    def at(self, address: str) -> Stored:
        """Rows at `s3://bucket/key`, or those directly below a prefix."""
        return Stored(address, self.client.files)

    def read(
        self,
        source: str | Path | Stored,
        *,
        format: str | None = None,  # noqa: A002 - the word of the field
        fields: Mapping[str, str] | None = None,
        template: PromptTemplate | None = None,
    ) -> InstructionDataset:
        """The rows of `source` as `InstructionDataset.read` gives them, an `s3://` address included."""
        remote = isinstance(source, str) and source.startswith(REMOTE)
        found = self.at(str(source)) if remote else source
        return InstructionDataset.read(found, format=format, fields=fields, template=template)

    def dataset(self, data: Data) -> InstructionDataset:
        """The rows themselves; raises ConfigError for what is neither rows nor the place of some."""
        if isinstance(data, InstructionDataset):
            return data
        if isinstance(data, (str, Path, Stored)):
            return self.read(data)
        raise ConfigError(
            f"data is a {type(data).__name__}: give an InstructionDataset (InstructionDataset.from_rows or "
            ".from_pandas make one), the path of a JSON-lines file or its s3:// address",
            field="data",
            allowed="InstructionDataset, path or s3:// address",
        )
