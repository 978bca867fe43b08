"""What can go wrong with a run."""

__all__ = ["NonFiniteLossError", "RunExistsError"]


class RunExistsError(ValueError):
    """A directory that already holds something else than the run that was asked for."""


class NonFiniteLossError(ArithmeticError):
    """Training met a loss that is NaN or infinite."""
