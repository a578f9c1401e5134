"""Engines by name, at the edge: ``local``, and what plug-ins add under the entry point ``orrery.engines``."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from orrery.engines import KINDS
from orrery.engines.engine import Engine
from orrery.engines.ray_session import is_address
from orrery.engines.spark_master import is_master
from orrery.errors import SettingsError, did_you_mean, listing


def engines() -> dict[str, str]:
    """Each name -> ``module:object``, plug-ins included.

    >>> engines()["local"]
    'orrery.engines.local:LOCAL'
    """
    table = dict(KINDS)
    for point in entry_points(group="orrery.engines"):
        table.setdefault(point.name, point.value)
    return table


def engine_of(engine: Engine | str | None) -> Engine:
    """An engine itself, or by its name; this machine where none is named. Raises SettingsError.

    A name may be the address of a master of Spark: ``spark://host:7077``, ``yarn``, ``local[4]``; or of a
    server of Ray: ``ray://host:10001``. What any other name stands for is an engine, or a class or function
    that gives one.
    """
    if engine is not None and not isinstance(engine, str):
        return engine
    table = engines()
    name = engine or "local"
    if name not in table and is_master(name):
        from orrery.engines.spark import Spark

        return Spark(master=name)
    if name not in table and is_address(name):
        from orrery.engines.ray import Ray

        return Ray(address=name)
    if name not in table:
        raise SettingsError(
            f"There is no engine {name!r}. The engines are {listing(table)}.", hint=did_you_mean(name, table)
        )
    module, _, attribute = table[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    made: Engine = found if hasattr(found, "submit") and not isinstance(found, type) else found()
    return made
