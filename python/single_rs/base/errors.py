"""Exceptions of single_rs: each names what was given, what is accepted and what to do."""

__all__ = ["ConvergenceError", "DataFileError", "InputError", "NoParticleError", "SingleError", "WriteError"]


class SingleError(Exception):
    """Base of the errors that the command line prints in one line (exit code 2)."""


class InputError(SingleError, ValueError):
    """A value, a shape or a setting that is not accepted."""


class ConvergenceError(RuntimeError):
    """An iteration that ended without meeting its tolerance."""


class DataFileError(SingleError, OSError):
    """A file that cannot be read or written; the message names it."""

    def __str__(self) -> str:
        """Return the plain message, without OSError's errno prefix."""
        return str(self.args[0]) if self.args else ""


class WriteError(DataFileError):
    """A file that cannot be written, for lack of space or of permission: the next one could not be written either."""


class NoParticleError(SingleError, RuntimeError):
    """No particle was found where at least one is needed."""
