"""A dataset report as a page of its own: no script, nothing from elsewhere, light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ift_sagemaker.data.checking.page import fragment

if TYPE_CHECKING:
    from ift_sagemaker.data.checking.report import DatasetReport

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body { margin: 0; background: #fff; }
@media (prefers-color-scheme: dark) { body { background: #0d1117; } }
.ift { max-width: 70rem; margin: 0 auto; box-sizing: border-box; }
"""


def dataset_page(report: DatasetReport) -> str:
    """The whole HTML document."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(report.path)}: instruction data</title><style>{_STYLE}</style></head>"
        f"<body>{fragment(report)}</body></html>\n"
    )
