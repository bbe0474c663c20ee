"""The plan of a run: its cells in the order in which they are computed.

A sweep is planned at once.  The plan is what Hydra's multirun would run, with every value of ``eps`` a cell of its own and
no cell twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from omegaconf import DictConfig

from gradcheck.errors import BadInput, one_line
from gradcheck.experiment.config.canonical import Form
from gradcheck.experiment.config.form import eps_values
from gradcheck.experiment.config.hydra_private import Hydra
from gradcheck.experiment.config.schema import SCIENCE
from gradcheck.experiment.footprint import MAX_MEMORY
from gradcheck.experiment.grid.axes import typed
from gradcheck.experiment.grid.dimensions import grid, in_groups
from gradcheck.experiment.grid.forms import Forms
from gradcheck.experiment.grid.paired import groups
from gradcheck.experiment.grid.points import points, value_at
from gradcheck.experiment.results.plan import Plan, Planned

_COLUMNS = {*SCIENCE, "init.seed", "data.seed", "data.n", "data.d"}  # of every run


def sweep(
    hydra: Hydra,
    master: DictConfig,
    max_cells: int,
    allow: Sequence[str] = (),
    max_memory: float = MAX_MEMORY,
    seen: Callable[[Planned], None] | None = None,
) -> Plan:
    """The plan of a multirun: the grids of ``hydra.sweeper.params`` and of the command line.  Raises BadInput.

    seen : called with each cell, in their order.
    """
    dimensions = in_groups(grid(hydra, typed(master), max_cells, groups(master)))
    swept = [axis.path for one in dimensions for axis in one.axes if axis.swept and not axis.group]
    return plan(
        points(hydra, master, dimensions), max_cells, swept=swept, allow=allow, max_memory=max_memory, seen=seen
    )


def plan(
    points: Iterable[Form],
    max_cells: int,
    *,
    swept: Sequence[str] = (),
    single: bool = False,
    allow: Sequence[str] = (),
    max_memory: float = MAX_MEMORY,
    seen: Callable[[Planned], None] | None = None,
) -> Plan:
    """The cells of some points, each once, every value of ``eps`` a cell of its own.

    swept : the keys of the grid.   seen : called with each cell, in their order.

    In a sweep a cell without meaning says why it is skipped.  Raises BadInput for a config that is wrong and, where
    there is one point only (`single`), for one without meaning.
    """
    found = Plan()
    forms = Forms(allow, max_memory, found.notes, thoroughly=single)
    own = [key for key in swept if key not in _COLUMNS]
    try:
        for science in points:
            for eps in eps_values(science.get("eps")):
                new = forms.planned(science | {"eps": eps}, found.ids)
                if new is None:
                    continue
                count = len(found) + 1
                if count > max_cells:
                    raise BadInput(f"eps={eps}: more than max_cells={max_cells} cells; raise it with max_cells=...")
                if new.skip is not None and single:
                    raise BadInput(new.skip)
                new.swept = {key: value_at(new.config, key) for key in own}
                found.add(new)
                if seen is not None:
                    seen(new)
    except BadInput:
        raise
    except (ValueError, OSError) as error:
        raise BadInput(one_line(error)) from error
    except MemoryError as error:
        raise BadInput(f"data.n, data.d: more than fits into memory: {one_line(error)}") from error
    return found
