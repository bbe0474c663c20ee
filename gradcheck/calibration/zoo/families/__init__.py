"""The families.  Importing this folder imports each of its modules, which register their families in ``FAMILIES``."""

from __future__ import annotations

import pkgutil
from importlib import import_module

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
