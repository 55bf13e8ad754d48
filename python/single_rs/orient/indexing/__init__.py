"""Orientation candidates of single frames from their power spectra: lattice, intensity, symmetry."""
