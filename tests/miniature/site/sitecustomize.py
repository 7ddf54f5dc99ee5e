"""Runs when Python starts with this folder on its path: ir_datasets reads its tables from another folder."""

import os
import pkgutil

_shipped = pkgutil.get_data


def _get_data(package, resource):
    folder, _, name = resource.partition("/")
    if package != "ir_datasets" or folder != "etc":
        return _shipped(package, resource)
    with open(os.path.join(os.environ["IR_DATASETS_TEST_TABLES"], name), "rb") as table:  # noqa: PTH118, PTH123
        return table.read()


pkgutil.get_data = _get_data
