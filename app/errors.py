"""The errors of the explorer that a person can cause: one sentence each."""

from worker.errors import WanderError


class AppError(WanderError):
    """One sentence for the user: what happened, the two numbers, what to do."""
