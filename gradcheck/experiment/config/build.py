"""The one place where a config becomes a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradcheck.errors import Meaningless
from gradcheck.experiment.cell import Cell
from gradcheck.experiment.config.canonical import section_of
from gradcheck.experiment.config.cast import as_float, short
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.config.schema import NO_BUG, build_section
from gradcheck.models.target import NoTarget
from gradcheck.numerics.schemes import SCHEMES


def build(config: Mapping[str, object], allow: Sequence[str] = ()) -> Cell:
    """The objects of a scientific config, everything validated.

    allow : modules whose functions a ``model=function`` may import, when it is called and not before.

    Raises ValueError (key, value, what is allowed) for a config that is wrong, Meaningless for parts that do not fit
    together.
    """
    return assemble(canonical(config), allow)


def notes(form: Mapping[str, object]) -> list[str]:
    """What the user of a canonical config should know of its data; nothing where these cannot be read."""
    try:
        model = build_section("model", section_of(form, "model"))
        return build_section("data", section_of(form, "data")).notes(model.target)
    except (ValueError, OSError):
        return []


def assemble(form: Mapping[str, object], allow: Sequence[str] = ()) -> Cell:
    """``build`` of a config that is in canonical form already."""
    model = build_section("model", section_of(form, "model"))
    data = build_section("data", section_of(form, "data"))
    init = build_section("init", section_of(form, "init"))
    bug = build_section("bug", section_of(form, "bug"))
    model.permit(allow)
    settings = section_of(form, "bug")
    if settings["name"] == NO_BUG:
        for key, value in settings.items():
            if key != "name":
                raise Meaningless(f"bug.{key}={short(value)}: bug=none has no settings")
    takes_data, source = not isinstance(model.target, NoTarget), section_of(form, "data")["source"]
    if takes_data != (source != "none"):
        advice = (
            f"needs data, such as data={model.suits}, not data={source}"
            if takes_data
            else "takes no data, must have data=none"
        )
        raise Meaningless(f"data={source}: model={section_of(form, 'model')['name']} {advice}")
    match_at, accept = as_float("match_at", form["match_at"]), as_float("accept", form["accept"])
    if not accept < match_at:
        raise Meaningless(f"accept={accept:g}: must be below match_at={match_at:g}")
    return Cell(
        model,
        data,
        init,
        bug,
        SCHEMES[str(form["scheme"])],
        np.dtype(str(form["dtype"])),
        match_at,
        as_float("min_judged", form["min_judged"]),
        accept,
    )
