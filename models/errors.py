"""The one error of this package: something is wrong with a model, its file or its inputs."""


class ModelError(Exception):
    """A model cannot be used as asked.

    The text is a full sentence for the person who asked: what is wrong, where (file, input
    or key), the allowed values, and what to do next.
    """


class FixedBatchError(ModelError):
    """A file that takes one signal a call was asked to take several."""
