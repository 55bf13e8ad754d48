"""Frames as the solver sees them: packed half-plane spectra, Fourier volumes and their shells."""
