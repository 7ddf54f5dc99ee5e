"""Runs when Python starts with this folder on its path: ir_datasets reads its download table from another file."""

import os
import pkgutil

_shipped = pkgutil.get_data


def _get_data(package, resource):
    if (package, resource) != ("ir_datasets", "etc/downloads.json"):
        return _shipped(package, resource)
    with open(os.environ["BACKFIRE_TEST_DOWNLOADS"], "rb") as table:  # noqa: PTH123 - no import but these at start
        return table.read()


pkgutil.get_data = _get_data
