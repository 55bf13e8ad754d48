"""How the fields of a dataclass stand in a CSV file; `store.tables` writes and reads by it.

A field is annotated with its place: ``r: Annotated[NDArray[np.float64], Column(".6g")]`` is a column of the name of
the field, with `names` several columns side by side; ``density: Annotated[float, Stated(".6f", "atoms/Å³")]`` is one
value of the whole table, in a comment before its header. Fields without such a note are not in the file.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Column", "Stated"]


@dataclass(frozen=True)
class Column:
    """Place of an array (n, …), one row per item.

    Attributes
    ----------
    form
        Format of a number, such as ".4f"; all digits when empty.
    names
        Of the columns, the last axis running fastest; the name of the field when empty.
    shape
        Of one item; (len(names),) when empty and there are names.
    decimals
        Numbers are rounded to these before they are formatted, so that what is 0 but for rounding is 0.
    """

    form: str = ""
    names: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    decimals: int | None = None

    def names_of(self, field: str) -> tuple[str, ...]:
        """Return the names of the columns of a field."""
        return self.names or (field,)

    def shape_of(self, rows: int) -> tuple[int, ...]:
        """Return the shape of the array of a table."""
        return (rows, *(self.shape or ((len(self.names),) if self.names else ())))


@dataclass(frozen=True)
class Stated:
    """Place of a value of the whole table: a line ``# name: value unit``.

    Attributes
    ----------
    form
        Format, such as ".4f"; all digits when empty.
    unit
        Written after the value.
    """

    form: str = ""
    unit: str = ""
