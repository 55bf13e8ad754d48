"""Models that frames are compared with: occupied lattices, atoms, reference volumes."""
