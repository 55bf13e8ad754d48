"""What no particle exceeds: values beyond are of another unit, or broken."""

from __future__ import annotations

__all__ = ["LARGEST_LENGTH"]

LARGEST_LENGTH = 1e5  # Å; 10 µm
