"""Remove graphene and liquid from a particle's frames and measure the noise that is left."""

from __future__ import annotations

from single_rs.background.clean import BackgroundConfig, clean_stack
from single_rs.background.polarity import CLEAR_CONTRAST
from single_rs.background.ruler import PixelRuler, measure_pixel

__all__ = ["CLEAR_CONTRAST", "BackgroundConfig", "PixelRuler", "clean_stack", "measure_pixel"]
