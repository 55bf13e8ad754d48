"""CSV files: columns with a header below comments, and cells that hold text."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError

__all__ = ["CommentedTable", "read_commented", "text_cell"]

# What a spreadsheet takes for a formula; https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class CommentedTable:
    """A CSV file: columns of texts by name, and the comments above them."""

    columns: dict[str, list[str]]
    comment: str

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as numbers, NaN for empty cells."""
        return np.array([float(text) if text.strip() else np.nan for text in self.columns[name]], np.float64)

    def integers(self, name: str) -> NDArray[np.int64]:
        """Return a column as whole numbers."""
        return np.array([int(text) for text in self.columns[name]], np.int64)


def read_commented(path: Path) -> CommentedTable:
    """Read a CSV file with a header, as columns; lines starting with # are comments.

    Raises
    ------
    DataFileError
        When it cannot be read, or has rows of several lengths.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        head, *rows = csv.reader(line for line in lines if line.strip() and not line.startswith("#"))
        columns = zip(*rows, strict=True) if rows else [()] * len(head)
        named = {name.strip(): list(column) for name, column in zip(head, columns, strict=True)}
    except (OSError, ValueError, csv.Error) as error:
        raise DataFileError(f"{path} cannot be read as a table: {error}") from None
    return CommentedTable(named, " ".join(line for line in lines[:4] if line.startswith("#")))


def text_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: one that would be gets an apostrophe before it.

    For names of folders, samples and the like; numbers are not texts, and may begin with a minus.
    """
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
