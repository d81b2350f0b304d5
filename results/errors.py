"""What can be wrong with files of results; each text says which, why, and what to do."""


class RunFileError(Exception):
    """A run file cannot be opened, read or written."""


class PeaksError(Exception):
    """Peaks of a machine cannot be read."""


class PublishedError(Exception):
    """Published figures cannot be read, or there are none of that name."""


class BaselineError(Exception):
    """A baseline on record cannot be read, written or compared with."""
