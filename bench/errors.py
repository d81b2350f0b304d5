"""The error a person made, and how it reaches them."""


class UserError(Exception):
    """Something was asked for that cannot be done.

    The text is one sentence or two: what happened, where (file, key), the allowed values, and
    what to do next. The command line prints it and exits with code 2.
    """
