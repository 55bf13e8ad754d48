"""A verdict, and the reasons for it that judges collect."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Reasons", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """Judgement of one particle: verdict (solved, doubtful or failed) and its reasons, the worst first."""

    verdict: str
    reasons: tuple[str, ...]


@dataclass
class Reasons:
    """Reasons found so far."""

    failed: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)

    def verdict(self) -> Verdict:
        """Return the verdict that they give."""
        if not (self.failed or self.doubtful):
            return Verdict("solved", tuple(self.passed))
        return Verdict("failed" if self.failed else "doubtful", (*self.failed, *self.doubtful))
