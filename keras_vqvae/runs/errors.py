"""What can go wrong with a run."""

__all__ = ["NonFiniteLossError", "RunExistsError", "RunInUseError"]


class RunExistsError(ValueError):
    """A directory that already holds something else than the run that was asked for."""


class RunInUseError(RunExistsError):
    """A directory in which another process is at work."""


class NonFiniteLossError(ArithmeticError):
    """Training met a loss that is NaN or infinite."""
