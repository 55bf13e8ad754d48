"""The published method: stochastic hill climb (Reboul et al., Science Advances 7, eabe6679 (2021))."""
