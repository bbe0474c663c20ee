"""The command line: Hydra's own options and the overrides, read before anything is composed."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from hydra.core.override_parser.types import Override

from gradcheck.errors import BadInput
from gradcheck.experiment.config.flags import as_key, instead, meaningless
from gradcheck.experiment.config.hydra_private import Hydra, arguments_parser, options_of
from gradcheck.experiment.config.overrides import Parser, require_shallow
from gradcheck.experiment.config.schema import LOOKUP
from gradcheck.experiment.config.words import cut, in_one_line


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's own options and the overrides.  Raises BadInput for an unknown option and for values too deep to read."""
    parser = arguments_parser()
    known = options_of(parser)

    def refuse(message: str) -> NoReturn:
        if match := re.match(r"argument (--[\w-]+).*: ignored explicit argument '(.*)'", message):
            merged = next((a for a in arguments if re.match("-[^-]", a) and a.endswith(match[2])), "")  # -model=mlp
            if merged and merged.partition("=")[0] not in known:
                raise BadInput(cut(instead([merged], known) or merged))
            raise BadInput(cut(f"{match[1]}={match[2]}: takes no value; type {match[1]}"))
        if (match := re.match(r"argument --([\w-]+).*: expected one argument", message)) and (
            words := meaningless(match[1].replace("-", "_"))
        ):
            raise BadInput(cut(words))
        raise BadInput(cut(instead(arguments, known) or f"{message}; see --help"))

    parser.error = refuse  # type: ignore[method-assign]
    typed = parser.parse_intermixed_args(list(arguments))
    for name in ("experimental_rerun", "config_path", "config_name"):
        if (value := getattr(typed, name)) is not None:
            raise BadInput(cut(as_key(arguments, known) or meaningless(name, value) or name))
    for line in typed.overrides:
        require_shallow(line)
    lines = typed.overrides  # one without a sign is refused when it is read, as the key of "eps = 1e-4"
    nameless = next((line for line in lines if line.lstrip("+~").startswith("=")), None)
    if nameless is not None and all("=" in line or line.startswith("~") for line in lines):
        raise BadInput(cut(f"{nameless}: has no key before the sign; must be key=value"))
    typed.overrides = [with_home(line) for line in typed.overrides]
    return typed


# Text in quotes, or a value that begins with a tilde, in a list or alone.
_HOME = re.compile(
    r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?<=[=,\[(])(~(?:\$\{[^{}]*\}|[^,\[\](){}'"])*)""",
)


def with_home(line: str) -> str:
    """An override with quotes around each value that begins with a tilde, which Hydra does not take without.

    The tilde stands for the home folder where the value is a path (`gradcheck.columns.places.local`).
    """
    key, sign, value = line.partition("=")
    if key.lstrip("+") == "store":  # all that follows is the path
        return line
    return key + _HOME.sub(lambda found: found[1] or f'"{found[2]}"', sign + value)


def parse(hydra: Hydra, lines: Sequence[str]) -> list[Override]:
    """Overrides as Hydra reads them.  Raises BadInput, also for a config group whose value is not one name."""
    with in_one_line(lines):
        overrides = Parser.create(config_loader=hydra.config_loader).parse_overrides(list(lines))
    for override in overrides:
        line, key = override.input_line or "", override.key_or_group
        if key == "experiment" and (override.is_sweep_override() or isinstance(override.value(), list)):
            raise BadInput(f"{line}: must be one name, Hydra would drop the grids of several experiments")
        if override.is_sweep_override() or override.is_delete() or key not in (*LOOKUP, "experiment"):
            continue
        if not isinstance(override.value(), str | dict):
            raise BadInput(cut(f"{line}: must be one name; see the group {key} in --help"))
    return overrides


def unswept(overrides: Sequence[Override]) -> None:
    """Raise BadInput for a list of values where only one run is made."""
    for override in overrides:
        if override.is_sweep_override():
            line = override.input_line or ""
            key = override.get_key_element()
            listed = f", or {key}=[{line.partition('=')[2]}] for all of them in one run" if key == "eps" else ""
            raise BadInput(cut(f"{line}: several values need -m{listed}"))
