"""``python -m gradcheck.run --help``: what the command does, and a line for each key with its choices."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig, OmegaConf

from gradcheck import uris
from gradcheck.experiment.config import compose, registration
from gradcheck.experiment.config.keys import Key, plain_keys, section_keys
from gradcheck.experiment.config.schema import LOOKUP, MISSING, READY
from gradcheck.printable import printable
from gradcheck.views.commands.credentials import without_store

ABOUT = """gradcheck compares a model's hand-written gradient with finite differences, weight by weight. It says which
weights are wrong beyond what rounding and truncation can explain, and stores every number as Parquet under runs/."""
EXAMPLES = (
    ("python -m gradcheck.run", "one check of logistic regression"),
    ("python -m gradcheck.run eps=1e-4,1e-6 -m", "a grid: one cell for each step"),
    ("python -m gradcheck.run +experiment=bug_zoo", "a ready grid"),
)
# What people set first, the groups of configs by what each is for.
FIRST = ("model", "data", "data.n", "init.seed", "bug", "eps", "scheme", "dtype", "engine", "+experiment")
GROUPS = {
    "model": "what is differentiated",
    "data": "where the examples come from",
    "init": "where the parameters come from at which the gradient is checked",
    "bug": "a planted mistake, or none",
    "engine": "where the cells are computed; the numbers are the same",
    **{f"+{group}": words for group, words in READY.items()},
}
LISTED = 40  # a group of more configs is not listed: its page does
FOOT = """A comma list with -m is an axis of a grid; zip=[data.n,data.d] varies their lists together.
The plan only: dry_run=true
The composed config: --cfg job
The keys of one model: --help model=mlp
What a bug is, in words and in each model: --help bug=NAME
An interrupted run: resume=RUN_DIR
What a run found: python -m gradcheck.show latest
Hydra's own options: --hydra-help"""
INDENT = 25  # of what is said of a key
NARROW, LESS = 60, 6  # a screen that is narrower than that has room for less


def help_text(overrides: Sequence[str], config_dir: str | None = None, width: int | None = None) -> str:
    """The text; the keys of a group that an override chooses are those of this choice.  Raises BadInput."""
    science = without_store(overrides)[1]
    with compose.opened(config_dir, science) as hydra:
        cfg = compose.compose(hydra, science)
        groups = registration.config_groups()
    if cfg.store is not None:
        cfg.store = uris.shown(str(cfg.store))  # a config file may hold a password
    chosen = {text.lstrip("+").partition("=")[0] for text in overrides}
    keys = {key.name: key for key in _all(cfg, groups, chosen)}
    first = [keys.pop(name) for name in FIRST if name in keys]
    columns = min(shutil.get_terminal_size().columns, 120) if width is None else width
    return "\n".join(_text(first, list(keys.values()), cfg, columns))


def _text(first: Sequence[Key], others: Sequence[Key], cfg: DictConfig, width: int) -> Iterator[str]:
    yield from textwrap.wrap(" ".join(ABOUT.split()), width, break_on_hyphens=False)
    yield "\nExamples"
    yield from _examples(width)
    yield from ["", *textwrap.wrap("Set first (model=mlp data.n=20)", width)]
    for key in first:
        yield from _line(key, cfg, width)
    yield "\nAll other keys"
    for key in others:
        yield from _line(key, cfg, width)
    yield ""
    for sentence in FOOT.splitlines():
        yield from textwrap.wrap(sentence, width, subsequent_indent="  ", break_on_hyphens=False)


def _examples(width: int) -> Iterator[str]:
    """The commands, each with what it does beside it, or below it where that does not fit."""
    long = max(len(command) for command, _ in EXAMPLES)
    for command, words in EXAMPLES:
        if 4 + long + max(len(said) for _, said in EXAMPLES) <= width:
            yield f"  {command.ljust(long)}  {words}"
        else:
            yield f"  {command}"
            yield from _indented(words, LESS, width)


def _indented(text: str, indent: int, width: int) -> list[str]:
    """A text in lines that fit."""
    return [" " * indent + line for line in textwrap.wrap(text, max(1, width - indent), break_on_hyphens=False)]


def _all(cfg: DictConfig, groups: dict[str, list[str]], chosen: set[str]) -> Iterator[Key]:
    """Every key, the groups first, then the keys of each group, then the others."""
    for section in LOOKUP:
        yield _group(section, cfg, groups)
        names = [str(OmegaConf.select(cfg, f"{section}.{LOOKUP[section]}"))] if section in chosen else None
        yield from section_keys(section, names)
    for group in groups:
        if group not in LOOKUP:
            yield _group(group, cfg, groups)
    yield from plain_keys(registration.conf_dir())


def _group(group: str, cfg: DictConfig, groups: dict[str, list[str]]) -> Key:
    name = group if group in LOOKUP else f"+{group}"
    default = OmegaConf.select(cfg, f"{group}.{LOOKUP[group]}") if group in LOOKUP else MISSING
    words, options = GROUPS.get(name, "a group of configs"), tuple(groups.get(group, ()))
    if group not in LOOKUP and len(options) > LISTED:
        return Key(name, default, f"{words}; one of {len(options)}, see conf/{group}/README.md", ())
    return Key(name, default, words, options)


def _line(key: Key, cfg: DictConfig, width: int) -> Iterator[str]:
    """``  model.l2=0.1  the penalty`` with its choices, wrapped."""
    value = key.default if key.name in LOOKUP or key.name.startswith("+") else _value(key, cfg)
    missing = "NAME" if key.choices or key.name.startswith("+") else "VALUE"
    shown = f"  {key.name}={missing if value == MISSING else _shown(value)}"
    said = [key.words] if key.words else []
    said += [f"one of {', '.join(key.choices)}"] if len(key.choices) > 2 else []
    said += [" or ".join(key.choices)] if 0 < len(key.choices) <= 2 else []
    said += [f"with {key.name.partition('.')[0]}={', '.join(key.of)}"] if key.of else []
    indent = INDENT if width >= NARROW else LESS
    lines = _indented(printable("; ".join(said)), indent, width) or [""]
    if len(shown) <= indent - 2:
        lines[0] = shown.ljust(indent) + lines[0][indent:]
    else:
        lines[:0] = textwrap.wrap(shown, width, subsequent_indent=" " * LESS, break_on_hyphens=False)
    yield from (line.rstrip() for line in lines)


def _value(key: Key, cfg: DictConfig) -> object:
    """The value of a key in the composed config; its default where another choice has it."""
    section, _, name = key.name.rpartition(".")
    found = OmegaConf.select(cfg, section) if section else cfg
    if not isinstance(found, DictConfig) or name not in found:
        return key.default
    value = OmegaConf.to_container(found, throw_on_missing=False)[name]  # type: ignore[call-overload,index]
    return value


def _shown(value: object) -> str:
    """A value as it is typed."""
    return printable(value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str))
