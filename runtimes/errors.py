"""What an adapter raises: the engine's own complaint, told apart by what a person does about it."""

import re


class EngineError(Exception):
    """The engine could not do it; the text is the engine's own first line, with what we were doing."""


class UnsupportedError(EngineError):
    """The engine has no implementation for something in the model (an operator, a type, a shape)."""


class UnavailableError(EngineError):
    """The engine, its library or its device is not here."""


_SOURCE_PLACES = re.compile(r"(Exception from \S+:\d+:|Check '[^']*' failed at \S+:\d+:)\s*")
_UNSUPPORTED_HINTS = (
    "is unknown",
    "not supported",
    "unsupported",
    "not implemented",
    "unimplemented",
    "not a registered function",
    "no op registered",
    "is not a registered",
    "unknown op",
    "no conversion rule",
    "could not find an implementation",
)


def engine_error(doing: str, error: BaseException) -> EngineError:
    """Translate a foreign exception: one line, with what was being done.

    Args:
        doing: such as ``"loading rt48.onnx"``.
        error: what the engine raised.
    """
    # Places in the engine's own source tell its developers something, and nobody else.
    complaint = re.split(r"stack backtrace:", str(error), maxsplit=1, flags=re.IGNORECASE)[0]
    text = _SOURCE_PLACES.sub("", " ".join(complaint.split()))[:400] or type(error).__name__
    kind = UnsupportedError if any(hint in text.lower() for hint in _UNSUPPORTED_HINTS) else EngineError
    return kind(f"{doing}: {text}")
