"""Every key that a config may have: its default, what it allows, and what it is for, as ``--help`` lists them.

What a key is for stands beside it in ``conf/config.yaml``, or in the docstring of its class as ``key : what it is``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradcheck.experiment.config.schema import (
    DTYPES,
    FAIL_ON,
    LOOKUP,
    MISSING,
    PROGRESS,
    TABLES,
    Engine,
    Run,
    settings,
)
from gradcheck.models.interfaces import Section
from gradcheck.numerics.schemes import SCHEMES

# What keys are for that several classes have, or of which no docstring says it.
SHARED: Mapping[str, str] = {
    "model.l2": "the penalty: l2 / 2 times the sum of the squared weights is added to the loss",
    "model.bias": "whether there is a bias, the x0 = 1 column",
    "model.layers": "the widths of the hidden layers",
    "model.activation": "the function after each hidden layer",
    "model.loss": "what the outputs are compared with the targets by",
    "model.reduction": "how the squared residuals become one number",
    "model.curve": "the function f of J(theta) = f(theta x)",
    "model.x": "the number x of J(theta) = f(theta x)",
    "model.n_classes": "how many classes there are; 0 takes them from the data",
    "model.fun": "your function, as scipy.optimize.rosen or package.module:name",
    "model.jac": "its gradient, found in the same way; true where fun returns the value and the gradient",
    "model.x0": "where the gradient is checked: nested lists, or a mapping from names to nested lists",
    "model.args": "further arguments of your function, a list",
    "model.kernel": "pixels of each convolution's window, across and down",
    "model.stride": "how many pixels the window of a convolution goes on",
    "model.padding": "rows and columns of zeros around the input of a convolution",
    "model.dilation": "how many pixels the entries of a window are apart",
    "model.pool_size": "pixels of each pool's window, across and down",
    "model.pool_stride": "how many pixels the window of a pool goes on; 0: its size, so that none overlap",
    "model.dropout_seed": "which entries are dropped follows from it",
    "model.groups": "how many groups of units norm=group makes",
    "model.epsilon": "is added to the variance within a norm",
    "model.layer": "the layer that stands between two dense ones",
    "model.units": "how many units the layers within have",
    "model.embedding": "how many numbers the vector of a token has",
    "model.cell": "the kind of the recurrence",
    "model.depth": "how many recurrences or blocks stand above one another",
    "model.lengths": "whether the recurrence leaves out padded steps",
    "model.heads": "how many heads the attention has",
    "data.n": "how many examples",
    "data.length": "how many steps a sequence has, padded ones included",
    "data.channels": "how many channels an image has",
    "data.height": "how many pixels an image has down",
    "data.width": "how many pixels an image has across",
    "data.d": "how many features",
    "data.seed": "of the random numbers of the examples",
    "data.noise": "how much noise the targets have",
    "data.scale": "the standard deviation of the features",
    "data.correlation": "between any two features",
    "data.standardize": "whether every feature gets the mean 0 and the standard deviation 1",
    "data.name": "which data set",
    "data.decimal": "the decimal sign of text, a point or a comma; found unless given",
    "init.seed": "of the random parameters",
    "init.scale": "the standard deviation of the parameters",
    "init.values": "the name of each parameter to nested lists",
    "init.path": "an npz file that holds one array a parameter",
    "engine.n_jobs": "how many worker processes; null takes every core",
    "engine.address": "of a Dask scheduler; null starts a cluster on this machine",
}
ENUMERATED: Mapping[str, Sequence[str]] = {
    "scheme": tuple(SCHEMES),
    "dtype": DTYPES,
    "fail_on": FAIL_ON,
    "progress": PROGRESS,
}
_ITEM = re.compile(r"(?m)^(\w+(?:, \w+)*) : ((?:.*)(?:\n[ \t]+\S.*)*)")
_COMMENTED = re.compile(r"(?m)^(\w+): [^#\n]*# (.*)$")


@dataclass(frozen=True)
class Key:
    """A key of a config.

    default : its value unless another is given; MISSING where one must be.   words : what it is for.
    choices : its values, where there are few.   of : the choices of its section that have it; empty where all have.
    """

    name: str
    default: object
    words: str = ""
    choices: tuple[str, ...] = ()
    of: tuple[str, ...] = ()


def plain_keys(conf: Path) -> Iterator[Key]:
    """The keys that belong to no section, with what ``config.yaml`` says of each."""
    said = dict(_COMMENTED.findall((conf / "config.yaml").read_text(encoding="utf-8")))
    for name, setting in settings(Run).items():
        if name not in LOOKUP:
            yield Key(name, setting.default, said.get(name, ""), tuple(ENUMERATED.get(name, ())))


def section_keys(section: str, chosen: Sequence[str] | None = None) -> Iterator[Key]:
    """The keys of a section: of its classes, or of the chosen ones; each key once."""
    classes: dict[str, type] = dict(TABLES[section]) if section in TABLES else {"": Engine}
    if chosen is not None and section in TABLES:
        classes = {name: classes[name] for name in chosen if name in classes}
    having: dict[str, list[str]] = {}
    for name, cls in classes.items():
        for key in settings(cls):
            if key != LOOKUP[section]:
                having.setdefault(key, []).append(name)
    for key, names in having.items():
        first, full = classes[names[0]], f"{section}.{key}"
        told = SHARED.get(full) or next((text for one in names if (text := _documented(classes[one], key))), "")
        allowed = dict.fromkeys(value for one in names for value in _choices(classes[one], key))
        of = () if len(names) == len(classes) else tuple(names)
        yield Key(full, settings(first)[key].default, told.replace("``", ""), tuple(allowed), of)


def _documented(cls: type, key: str) -> str:
    """What the docstring of a class says of a key, the first sentence of it."""
    attribute = settings(cls)[key].attribute
    for one in cls.__mro__:
        for names, text in _ITEM.findall(inspect.cleandoc(one.__dict__.get("__doc__") or "")):
            if attribute in names.split(", ") and one is not object:
                return re.split(r"(?<=[a-z)])\. ", " ".join(text.split()))[0].removesuffix(".")
    return ""


def _choices(cls: type, key: str) -> list[str]:
    """The values that a class allows for a key of text: as it says where another one is given."""
    setting = settings(cls)[key]
    if setting.type is bool:
        return ["true", "false"]
    if setting.type is not str or not issubclass(cls, Section):
        return []
    given = {one.attribute: one.default for one in settings(cls).values() if one.default != MISSING}
    try:
        cls(**given | {setting.attribute: "\0"}).validate()
    except ValueError as error:
        allowed = re.search(rf"\.{re.escape(key)}=.*: must be one of (.*)$", str(error), re.DOTALL)
        return allowed[1].split(", ") if allowed else []
    except TypeError:  # another setting must be given first
        return []
    return []
