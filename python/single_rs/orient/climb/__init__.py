"""Stochastic hill climb from random poses (Reboul et al., Science Advances 7, eabe6679 (2021))."""
