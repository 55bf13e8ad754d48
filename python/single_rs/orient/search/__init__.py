"""Rounds of comparing frames with held-out models, from the first map to the last."""
