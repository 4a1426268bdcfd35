"""The one exception for what a person can cause and mend: shown as it is, never as a traceback."""


class WanderError(Exception):
    """One sentence: what happened, the two numbers, what to do."""
