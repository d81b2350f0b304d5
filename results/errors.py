"""The one error of this package: something is wrong with a run file."""


class RunFileError(Exception):
    """A run file cannot be opened, read or written; the text says which, why, and what to do."""
