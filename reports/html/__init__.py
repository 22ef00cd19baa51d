"""report.html, the report for a person."""

from .page import dumps

__all__ = ["dumps"]
