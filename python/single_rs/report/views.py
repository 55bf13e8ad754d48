"""What a page shows, as plain values: numbers with unit and error, tables, figures, sections.

The templates turn them into HTML and escape every text. A value that is not known is an en dash, never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

__all__ = [
    "DASH",
    "Badge",
    "Code",
    "Details",
    "Downloads",
    "FactList",
    "Facts",
    "Figure",
    "Film",
    "Gaps",
    "Grid",
    "Group",
    "Link",
    "Meter",
    "Note",
    "Page",
    "Player",
    "Quantity",
    "Row",
    "Section",
    "Stage",
    "Table",
    "Tile",
    "Verdict",
    "Viewer",
    "concise",
]

DASH = "–"


def _finite(value: Any) -> float | None:
    """Return a finite number, or ``None``."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def concise(value: Any, error: Any, decimals: int) -> str:
    """Return a number with its standard error in the last digits, 3.9023(14), as crystallographers write it.

    Without an error the number alone; an error that would round to zero in `decimals` gets one digit more.
    """
    known, spread = _finite(value), _finite(error)
    if known is None or spread is None or spread <= 0:
        return Quantity(value, decimals).amount
    digits = max(decimals, math.ceil(-math.log10(spread)))
    return f"{known:z.{digits}f}({round(spread * 10**digits)})".replace("-", "−")


@dataclass(frozen=True)
class Quantity:
    """A number with decimals, unit and standard error; `short` writes the error in the last digits."""

    kind: ClassVar[str] = "quantity"
    value: Any
    decimals: int = 2
    unit: str = ""
    error: Any = None
    short: bool = False

    @property
    def known(self) -> bool:
        """Whether there is a number; a list of facts says of others that they were not measured, a table has a dash."""
        return _finite(self.value) is not None

    @property
    def amount(self) -> str:
        """Return the number alone."""
        known = _finite(self.value)
        if known is None:
            return DASH
        if self.short:
            return concise(known, self.error, self.decimals)
        return f"{known:z,.{self.decimals}f}".replace("-", "−")

    @property
    def spread(self) -> str:
        """Return the standard error, empty where none is shown."""
        error = _finite(self.error)
        return "" if self.short or error is None or _finite(self.value) is None else f"{error:.{self.decimals}f}"

    @property
    def suffix(self) -> str:
        """Return the unit with the space before it."""
        if _finite(self.value) is None or not self.unit:
            return ""
        return self.unit if self.unit in "°%" else f"\xa0{self.unit}"

    def __str__(self) -> str:
        return f"{self.amount}{f' ± {self.spread}' if self.spread else ''}{self.suffix}"


@dataclass(frozen=True)
class Badge:
    """A verdict or the result of a check, as a coloured label that also has a sign, for those who see no colours."""

    kind: ClassVar[str] = "badge"
    SIGNS: ClassVar[dict[str, str]] = {
        "solved": "✓", "passed": "✓", "doubtful": "?", "undecided": "?", "failed": "✕"
    }  # fmt: skip
    text: str

    @property
    def sign(self) -> str:
        """Return the sign, empty for words that are no verdict."""
        return self.SIGNS.get(self.text, "")

    @property
    def style(self) -> str:
        """Return the class of its colour."""
        return self.text if self.text in self.SIGNS else "plain"


@dataclass(frozen=True)
class Link:
    """A text that leads to an element of the page."""

    kind: ClassVar[str] = "link"
    text: str
    target: str


@dataclass(frozen=True)
class Code:
    """A text of the command line or the settings."""

    kind: ClassVar[str] = "code"
    text: Any


@dataclass(frozen=True)
class Meter:
    """A share from 0 to 1, drawn as a bar."""

    kind: ClassVar[str] = "meter"
    share: float


Row = Sequence[Any]  # of cells: Quantity, Badge, Link, Code, Meter, or text; the first is the head of the row


@dataclass(frozen=True)
class Table:
    """A table that scrolls within its card; columns that hold a `Quantity` are set to the right.

    `copy` adds a button that copies it; one of `prose` has sentences in its cells and stacks them on narrow screens.
    """

    kind: ClassVar[str] = "table"
    caption: str
    heads: tuple[str, ...]
    rows: Sequence[Row]
    copy: bool = False
    prose: bool = False

    @property
    def numeric(self) -> list[bool]:
        """Return whether each column holds numbers."""
        return [any(isinstance(row[k], Quantity) for row in self.rows) for k in range(len(self.heads))]


@dataclass(frozen=True)
class Facts:
    """Names and values under a title."""

    title: str
    rows: Sequence[tuple[str, Any]]
    note: str = ""


@dataclass(frozen=True)
class FactList:
    """One card of facts; `broad` gives the values the room of prose."""

    kind: ClassVar[str] = "facts"
    lists: Sequence[Facts]
    broad: bool = False


@dataclass(frozen=True)
class Figure:
    """One drawn figure: inline SVG, title, caption, whether it wants the full width, and its data as CSV."""

    title: str
    caption: str
    svg: str
    wide: bool = False
    name: str = ""
    data: str = ""


@dataclass(frozen=True)
class Grid:
    """Figures as cards in two columns."""

    kind: ClassVar[str] = "grid"
    figures: Sequence[Figure]

    @property
    def cards(self) -> list[tuple[Figure, bool]]:
        """Return each figure with whether it takes the whole row: wide ones, and those of half width left alone."""
        spans, start = [figure.wide for figure in self.figures], 0
        for k, wide in enumerate([*spans, True]):
            if wide:
                if (k - start) % 2:
                    spans[k - 1] = True
                start = k + 1
        return list(zip(self.figures, spans))


@dataclass(frozen=True)
class Group:
    """A heading within a section."""

    kind: ClassVar[str] = "group"
    title: str


@dataclass(frozen=True)
class Note:
    """A paragraph: on a card of its own, or muted when `quiet`."""

    kind: ClassVar[str] = "note"
    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Gaps:
    """What is not in the page, and why."""

    kind: ClassVar[str] = "gaps"
    items: Sequence[str]


@dataclass(frozen=True)
class Verdict:
    """A verdict: each reason with its limit, beside what is least known."""

    kind: ClassVar[str] = "verdict"
    verdict: str
    reasons: Sequence[tuple[str, str]]
    least: Facts


@dataclass(frozen=True)
class Downloads:
    """Files within the page: what each holds, its name, its content."""

    kind: ClassVar[str] = "downloads"
    files: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Viewer:
    """The 3D view of a particle, from `single_rs.report.view3d.view_data`."""

    number: int
    data: dict[str, Any]


@dataclass(frozen=True)
class Film:
    """The 3D view of the states of a particle with a slider through time, from `single_rs.report.states.film_data`."""

    kind: ClassVar[str] = "film"
    number: int
    data: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """The 3D view beside the facts of a particle."""

    kind: ClassVar[str] = "stage"
    viewer: Viewer | None
    facts: FactList


@dataclass(frozen=True)
class Player:
    """The movie of a particle, from `single_rs.report.tumbling.tumbling_data`; panels are (class, caption)."""

    kind: ClassVar[str] = "player"
    number: int
    data: dict[str, Any]
    panels: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Details:
    """Blocks that open on demand, and on paper when `printed`."""

    kind: ClassVar[str] = "details"
    title: str
    blocks: Sequence[Any]
    printed: bool = False


@dataclass(frozen=True)
class Tile:
    """One headline number: parts of value and small unit."""

    name: str
    parts: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, name: str, quantity: Quantity) -> Tile:
        """Return a tile of a quantity and its error."""
        spread = f"± {quantity.spread} " if quantity.spread else ""
        return cls(name, [(quantity.amount, f"{spread}{quantity.suffix.strip()}")])


@dataclass(frozen=True)
class Section:
    """A section of the page: key of its address, title, blocks, badge beside the title, name in the bar if another."""

    key: str
    title: str
    blocks: Sequence[Any]
    badge: Badge | None = None
    short: str = ""


@dataclass(frozen=True)
class Page:
    """A whole page; one with `refresh` loads itself, or the address in it, anew after so many seconds."""

    title: str
    eyebrow: str
    lede: str
    sections: Sequence[Section]
    footer: str
    tiles: Sequence[Tile] = ()
    scripts: Sequence[str] = field(default=("report.js",))
    refresh: str = ""
