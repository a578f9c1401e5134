"""Files that appear under their names whole, or not at all; here and on other machines."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from orrery.data import files, remote
from orrery.data.masking import hide
from orrery.errors import OrreryError, SourceError


@contextmanager
def whole_file(url: str) -> Iterator[Any]:
    """A file to write bytes to, which appears under its name once all of it is on the disk."""
    if not files.is_local(url):
        with _remote_file(url) as file:
            yield file
        return
    path = files.local(url)
    part = path.with_name(f".{path.name[:100]}.{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _remote_file(url: str) -> Iterator[Any]:
    """The same, on another machine."""
    if remote.renames(url):
        with _renamed_file(url) as file:
            yield file
        return
    with remote_errors(url):
        system, inner = remote.system_of(url)
        file = system.open(inner, "wb", autocommit=False)
    try:
        yield file
        with remote_errors(url):
            file.close()
    except BaseException:
        file.closed = True  # else it would still be sent
        with suppress(Exception):
            file.discard()
        raise
    with remote_errors(url):
        file.commit()


@contextmanager
def _renamed_file(url: str) -> Iterator[Any]:
    """A file of HDFS: written beside its place under a hidden name, and renamed."""
    with remote_errors(url):
        system, inner = remote.system_of(url)
        folder, _, name = inner.rpartition("/")
        part = f"{folder}/.{name[:100]}.{uuid4().hex[:8]}.part"
        file = system.open(part, "wb")
    try:
        yield file
        with remote_errors(url):
            file.close()
            _rename(system, part, inner)
    except BaseException:
        file.closed = True
        with suppress(Exception):
            system.rm_file(part)
        raise


def _rename(system: Any, part: str, path: str) -> None:
    """A file in the place of another, if there is one. Raises OSError."""
    system.mv(part, path)  # which says nothing where it fails
    if system.exists(part):
        system.rm_file(path)
        system.mv(part, path)
    if system.exists(part) or not system.exists(path):
        raise OSError("it could not be renamed")


@contextmanager
def remote_errors(url: str) -> Iterator[None]:
    """What a file system elsewhere says, which may be of any class, becomes SourceError."""
    shown = files.shown(url)
    try:
        with files.installed(url):
            yield
    except OrreryError:
        raise
    except NotImplementedError:
        scheme = url.partition("://")[0]
        raise SourceError(
            f"{shown} cannot be written: {scheme}:// is for reading only.",
            hint="Write to a file, or to s3://.",
        ) from None
    except Exception as error:
        text = hide(" ".join(str(error).split()), url)
        raise SourceError(f"{shown} cannot be written: {text or type(error).__name__}.") from None


def cannot_write(path: Path, error: OSError) -> SourceError:
    """What to say of a file that the system does not let be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SourceError(f"{path} cannot be written: the disk is full.", hint="Nothing of it was kept.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SourceError(
            f"{path} cannot be written: the folder {path.parent} is read-only.", hint="Choose another folder."
        )
    return SourceError(f"{path} cannot be written: {error.strerror or error}.")
