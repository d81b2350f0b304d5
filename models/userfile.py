"""A user's own ONNX file: read it, refuse what is broken, find and check its external data."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto

from models.errors import ModelError
from models.names import check_text
from models.walk import subgraphs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Bits per element of every type whose tensors have a size that can be checked.
_BITS = {
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT8", "UINT8", "BOOL"), 8),
    **dict.fromkeys(("INT4", "UINT4"), 4),
    "COMPLEX128": 128,
}


def load_user_model(path: Path) -> onnx.ModelProto:
    """Read an ONNX file without its external data, and check that both are whole.

    Operators of unknown domains are not judged: each runtime accepts or refuses them itself.

    Raises:
        ModelError: the file is missing, a folder, empty, truncated or not ONNX; its graph is empty,
            has no output, or reads a name that nothing makes; or its external data is missing, too
            short, or outside the model's folder.
    """
    model = _parse(path)
    try:
        _check_text(model, path)
        _check_graph(model, path)
        external_files(model, path)
    except ModelError:
        raise
    except Exception as error:  # a damaged file can break any reader; the user wants one sentence
        raise _damaged(path, error) from error
    return model


def load_with_data(path: Path) -> onnx.ModelProto:
    """Read an ONNX file and put its external data into the tensors.

    Does what ``onnx.load`` does, except that data with several hard links, as package caches make
    them, are read too: :func:`external_files` has made sure that they lie in the model's folder.

    Raises:
        ModelError: as :func:`load_user_model`.
    """
    model = load_user_model(path)
    for tensor in tensors(model):
        if not is_external(tensor):
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = path.parent / entries["location"]
        try:
            with file.open("rb") as data:
                data.seek(int(entries.get("offset") or 0))
                tensor.raw_data = data.read(int(entries.get("length") or _size(tensor) or -1))
        except OSError as error:
            raise ModelError(f"cannot read {file}, the data of {path.name}: {error.strerror or error}") from error
        tensor.data_location = TensorProto.DEFAULT
        tensor.ClearField("external_data")
    return model


def structural_warnings(path: Path) -> list[str]:
    """What ``onnx.checker`` dislikes about a file, as sentences.

    Its complaints are no errors here: exporters leave graphs that every runtime takes and the
    checker does not, and a graph that is really broken fails in each runtime, as a row.
    """
    try:
        onnx.checker.check_model(str(path))
    except Exception as error:  # noqa: BLE001  # the checker raises several types, RuntimeError among them
        first = str(error).strip().splitlines() or [type(error).__name__]
        return [f"onnx.checker objects to {path.name}: {first[0]}; a runtime may refuse it"]
    return []


def external_files(model: onnx.ModelProto, path: Path) -> list[Path]:
    """The files with the model's external data, each once, in the order of their names.

    Args:
        model: the parsed file, external data not loaded.
        path: where it was read.

    Returns:
        Paths made of the model's folder and the location in the file; all of them lie inside.

    Raises:
        ModelError: naming the tensor and the file: absolute, outside the folder, missing, too short.
    """
    files = {_check_external(tensor, path) for tensor in tensors(model) if is_external(tensor)}
    return sorted(files)


def digest(path: Path, model: onnx.ModelProto | None = None) -> str:
    """SHA-256, in hex, of a model file and its external data (names and contents).

    Equals ``sha256sum`` of the file when there is no external data.

    Raises:
        ModelError: as :func:`load_user_model`.
    """
    files = external_files(model or load_user_model(path), path)
    try:
        return digest_of(path.read_bytes(), files, path.parent)
    except OSError as error:
        raise ModelError(f"cannot read {error.filename}: {error.strerror}") from error


def digest_of(content: bytes, files: Sequence[Path], folder: Path) -> str:
    """What :func:`digest` gives for a model file with this content and these data files in ``folder``.

    Raises:
        OSError: a data file cannot be read.
    """
    total = hashlib.sha256(content)
    for file in files:
        total.update(f"\0{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as data:
            while chunk := data.read(1 << 20):
                total.update(chunk)
    return total.hexdigest()


def tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Every tensor anywhere in a message: initializers, constants, subgraphs, functions."""
    if isinstance(message, TensorProto):
        yield message
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for part in value if hasattr(value, "append") or hasattr(value, "add") else [value]:
                yield from tensors(part)


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor's values lie in another file."""
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def _parse(path: Path) -> onnx.ModelProto:
    check_text(path)
    if path.is_dir():
        found = ", ".join(sorted(p.name for p in path.glob("*.onnx"))[:5]) or "none"
        raise ModelError(f"{path} is a folder, not an ONNX file; the .onnx files in it: {found}")
    try:
        size = path.stat().st_size
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except FileNotFoundError:
        raise ModelError(f"there is no model file {path}; check the path") from None
    except OSError as error:
        raise ModelError(f"cannot read the model file {path}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's decode errors differ between its implementations
        raise _damaged(path, error) from error
    if not size:
        raise ModelError(f"{path} is empty; export or copy the model again")
    return model


def _check_text(message: Any, path: Path) -> None:
    """Protobuf hands out broken names as bytes, and everything that reads them later would stumble."""
    for descriptor, value in message.ListFields():
        # Remarks are for people: an exporter's odd encoding there is nobody's loss.
        if descriptor.name in {"doc_string", "metadata_props", "raw_data"}:
            continue
        many = hasattr(value, "append") or hasattr(value, "add")
        if descriptor.message_type is not None:
            for part in value if many else [value]:
                _check_text(part, path)
        elif descriptor.type == descriptor.TYPE_STRING and any(
            isinstance(v, bytes) for v in (value if many else [value])
        ):
            raise ModelError(f"{path} is damaged: it has a {descriptor.name} that is no text; export or copy it again")


def _check_graph(model: onnx.ModelProto, path: Path) -> None:
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError(f"{path} holds no graph: it is not an ONNX model, or it is cut off; export or copy it again")
    if not model.graph.output:
        raise ModelError(f"the graph in {path} has no output, so there is no answer to time; export it with outputs")
    _check_names(model.graph, frozenset(), path)


def _check_names(graph: onnx.GraphProto, outer: frozenset[str], path: Path) -> None:
    known = outer | {""} | {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    known |= {sparse.values.name for sparse in graph.sparse_initializer}
    known |= {name for node in graph.node for name in node.output}
    wanted = [(name, f"node {node.name or node.op_type!r}") for node in graph.node for name in node.input]
    wanted += [(value.name, "the list of outputs") for value in graph.output]
    for name, place in wanted:
        if name not in known:
            raise ModelError(f"{path} is damaged: {place} refers to {name!r}, which nothing in the graph makes")
    for node in graph.node:
        for sub in subgraphs(node):
            _check_names(sub, known, path)


def _check_external(tensor: onnx.TensorProto, path: Path) -> Path:
    name = tensor.name or "of a Constant node"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    where = f"tensor {name!r} of {path} keeps its values in {location!r}"
    if not location or "\0" in location:
        raise ModelError(f"tensor {name!r} of {path} says its values lie in another file, but not in which one")
    file = path.parent / location
    if Path(location).is_absolute() or location.startswith("\\") or location[1:2] == ":":
        raise ModelError(f"{where}, an absolute path; only files in the model's own folder are read: export it again")
    try:
        resolved = file.resolve()
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{where}, which cannot be resolved: {error}") from error
    if not resolved.is_relative_to(path.parent.resolve()):
        raise ModelError(
            f"{where}, which leads outside the model's folder (to {resolved}); "
            "copy the data beside the model, without links, and try again"
        )
    if not resolved.is_file():
        raise ModelError(f"{where}, which is missing; copy it beside the model")
    offset, length = (_number(entries, key, where) for key in ("offset", "length"))
    needed = _size(tensor)
    if length and needed and length < needed:
        raise ModelError(f"{where}, {length} bytes long, but its shape needs {needed}; the file is damaged")
    end, size = (offset or 0) + (length or needed), resolved.stat().st_size
    if end > size:
        raise ModelError(f"{where}, up to byte {end}, but that file has only {size}; it is cut off: copy it again")
    # Not the resolved one: two names for one file are two references that must keep working.
    return path.parent / Path(location)


def _number(entries: dict[str, str], key: str, where: str) -> int | None:
    text = entries.get(key)
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ModelError(f"{where} with the {key} {text!r}, which is no number of bytes; the file is damaged")
    return int(text)


def _size(tensor: onnx.TensorProto) -> int:
    """Bytes that the values need; 0 when the element type has no fixed size."""
    names = TensorProto.DataType
    kind: str = names.Name(tensor.data_type) if tensor.data_type in names.values() else ""
    if any(dim < 0 for dim in tensor.dims):
        return 0
    bits: int = math.prod(tensor.dims) * _BITS.get(kind, 0)
    return -(-bits // 8)


def _damaged(path: Path, error: Exception) -> ModelError:
    detail = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"{path} cannot be read as an ONNX model ({detail}): it is another kind of file, or cut off; "
        "export or copy it again"
    )
