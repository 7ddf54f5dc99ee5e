"""Archives that are extracted while they arrive, before their digest is known, stay in their folder.

ir_datasets extracts tar files by `tarfile`, which before Python 3.14 writes wherever a member's name says unless it is
told otherwise. From 3.11.4 on it can be told (`data_filter`). Earlier ones, such as Debian 12's 3.11.2, cannot, so
there the same is refused here, and every link with it.
"""

import os
import tarfile
from functools import wraps
from pathlib import Path


def stay_in_folders() -> None:
    """From here on `tarfile` refuses members that would leave the folder, and devices, with a `TarError`.

    A leading slash of a name is left out. Python's own filter does it where there is one.
    """
    if hasattr(tarfile, "data_filter"):
        tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    elif not hasattr(tarfile.TarFile.extract, "__wrapped__"):
        tarfile.TarFile.extract = _checking(tarfile.TarFile.extract)


def _checking(extract):
    """`TarFile.extract`, which `extractall` calls for each member, with a look at the member first."""

    @wraps(extract)
    def checked(archive, member, path="", *arguments, **settings):
        found = archive.getmember(member) if isinstance(member, str) else member
        found.name = found.name.lstrip("/" + os.sep)
        folder = os.path.realpath(path)
        place = os.path.realpath(Path(folder) / found.name)
        if os.path.commonpath([folder, place]) != folder:
            raise tarfile.TarError(f"'{found.name}' would be extracted to '{place}', outside '{folder}'")
        if not (found.isreg() or found.isdir()):
            raise tarfile.TarError(
                f"'{found.name}' is a link or a device, and this Python extracts none safely; use 3.11.4 or later"
            )
        return extract(archive, found, path, *arguments, **settings)

    return checked
