"""The output folder of a run: names of its files, and reading them back."""
