"""Cells of CSV files that hold text."""

from __future__ import annotations

__all__ = ["text_cell"]

# What a spreadsheet takes for a formula; https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def text_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: one that would be gets an apostrophe before it.

    For names of folders, samples and the like; numbers are not texts, and may begin with a minus.
    """
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
