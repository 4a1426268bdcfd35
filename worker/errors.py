"""The errors of the worker that a person can cause or has to read: one sentence each."""


class WanderError(Exception):
    """One sentence for the user: what happened, the two numbers, what to do."""


class WireError(WanderError, ValueError):
    """A message breaks the schema or a limit of the wire; the peer that sent it is refused."""


class JournalError(WanderError):
    """A session file cannot be opened, read or written."""


class LaunchError(WanderError):
    """The worker processes could not be started or reached."""
