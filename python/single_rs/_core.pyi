"""Types of the Rust extension; the meaning of each function is told in the Python module of its stage."""

__version__: str

class ConvergenceError(RuntimeError): ...

def threads() -> int: ...
