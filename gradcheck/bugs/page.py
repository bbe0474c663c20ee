"""What a bug is, in words and in symbols, and what it is in each model: asked of the classes, written as text.

``python -m gradcheck.run --help bug=NAME`` prints ``page``; ``conf/bug/README.md`` is ``catalogue``, and the head of each
file ``conf/bug/NAME.yaml`` is ``header``.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from itertools import product
from types import MappingProxyType
from typing import TypeVar

from gradcheck.bugs.base import Bug
from gradcheck.bugs.output import NoBug
from gradcheck.errors import Meaningless
from gradcheck.models.interfaces import Model, Section
from gradcheck.models.layers.layered import Layered
from gradcheck.models.symbols import Symbols

WIDTH = 118
EXAMPLE = "double_mean"
HEAD = """\
# The bug catalogue

Mistakes that people make in a gradient: what each is in words, as one formula, and in every model. This page is made from
the classes of the bugs and the models; `python -m gradcheck.run --help bug=NAME` prints one of its sections.

**How to read the formulas.** They show what differs from the right gradient, which stands under [`none`](#none); all else
is made as there, from what is wrong. Rows of X are examples, n of them; `*` is elementwise; layers count from 1 at the
input to L. dJ is the whole gradient, dJ_j one of its entries. A line that begins with settings says what is different
under them. Where a bug has no meaning, a single run refuses it in one line, and a sweep stores the cell as `skipped`
with the reason. Where it leaves this very gradient unchanged, the cell is `skipped` too: "no effect here".

**Kind of diagnosis** is what `diagnosis_kind` must name from the numbers alone. Where another mistake makes the very same
gradient, its kind is right as well.
"""
Models = Mapping[str, type[Model]]
S = TypeVar("S", bound=Section)


def words(bug: type[Bug]) -> tuple[str, str]:
    """The bug in one sentence, and how people come to make it; the latter may be empty."""
    doc = inspect.cleandoc(vars(bug).get("__doc__") or "")
    # a dataclass without words of its own is given its signature
    title, _, rest = (bug.name if doc.startswith(f"{bug.__name__}(") else doc or bug.name).partition("\n")
    return title, " ".join(rest.split())


def uses(bug: type[Bug]) -> Iterator[tuple[str, str]]:
    """The settings that the bug has, each with what it means and its default."""
    defaults = {field.name: field.default for field in fields(bug)}
    for key, meaning in bug.uses.items():
        yield key, meaning if defaults[key] is None else f"{meaning}; default {defaults[key]}"


def made(cls: type[S], settings: Mapping[str, object] = MappingProxyType({})) -> S:
    """An object of a section, of which only what its class says is asked: settings that must be given hold ``???``."""
    fixed = (field for field in fields(cls) if field.init)  # type: ignore[arg-type]
    open_ = {field.name: "???" for field in fixed if field.default is MISSING and field.default_factory is MISSING}
    return cls(**{**open_, **settings})


# --- in symbols -------------------------------------------------------------------------------------------------------


def wrong(bug: Bug, model: Model) -> dict[str, str]:
    """What is wrong with the model's gradient, by the left sides of the equations.

    Raises Meaningless where the bug has no meaning for the model.
    """
    bug.refuse_model(model)
    symbols = bug.symbols(model)
    # the right gradient, with equations of their own for the same layers
    right = model.equations(Symbols({f"none_{layer}": "" for layer in symbols.layers}))
    there = right.derivatives | right.made_of
    if isinstance(bug, NoBug):
        return there
    if in_whole(bug):
        return {"": _of_whole(bug, list(right.derivatives), right.first)}
    found = model.equations(symbols)
    return {name: text for name, text in (found.derivatives | found.made_of).items() if text != there[name]}


def in_whole(bug: Bug) -> bool:
    """Whether the formula is one of the finished gradient, whatever it is made of."""
    return not {"gradient", "entry"}.isdisjoint(bug.formula)


def _of_whole(bug: Bug, derivatives: list[str], first: str) -> str:
    if "entry" in bug.formula:
        return bug.formula["entry"].format(all=", ".join(derivatives), first=first)
    return ", ".join(bug.formula["gradient"].format(g=g) for g in derivatives)


def written(equations: Mapping[str, str]) -> str:
    """Equations on one line."""
    return (
        ",  ".join(f"{name} = {text}" if name else text for name, text in equations.items()) or "not known in symbols"
    )


def variants(model: type[Model]) -> Iterator[dict[str, object]]:
    """The settings that decide what a bug does, in every combination; the default first."""
    for values in product(*model.choices.values()):
        yield dict(zip(model.choices, values, strict=True))


def in_model(bug: Bug, model: type[Model]) -> list[str]:
    """What the bug does in a model: one line for the settings in which it has meaning, and one for each other way.

    Settings vary one at a time around the first combination in which the bug has meaning.
    """
    everything = list(variants(model))
    usual = everything[0]
    if in_whole(bug) and not isinstance(bug, NoBug):
        everything = [usual]
    found = [(chosen, _outcome(bug, model, chosen)) for chosen in everything]
    base, first = next((one for one in found if not isinstance(one[1], str)), found[0])
    if isinstance(first, str):
        return [f"no meaning: {first}"]
    lines = [_under(_changes(model, usual, base), written(first))]
    ways: dict[str, list[tuple[str, object]]] = {}
    for chosen, outcome in found:
        changed = [(key, value) for key, value in chosen.items() if value != base[key]]
        if len(changed) != 1:
            continue
        if isinstance(outcome, str):
            ways.setdefault("no meaning", []).append(changed[0])
        elif others := {name: text for name, text in outcome.items() if first.get(name, text) != text}:
            ways.setdefault(written(others), []).append(changed[0])
    return lines + [_under(_settings(model, changed), text) for text, changed in ways.items()]


def _outcome(bug: Bug, model: type[Model], chosen: Mapping[str, object]) -> dict[str, str] | str:
    """What is wrong, or what the model lacks."""
    asked = made(model, chosen)
    try:
        return wrong(bug, asked)
    except Meaningless as error:
        return str(error).removeprefix(f"bug={bug.name}: ").removeprefix(f"{asked.name} ")


def _changes(model: type[Model], usual: Mapping[str, object], chosen: Mapping[str, object]) -> str:
    return _settings(model, [(key, value) for key, value in chosen.items() if value != usual[key]])


def _keys(model: type[Model]) -> dict[str, str]:
    """The keys of a model's settings by attribute."""
    return {field.name: field.metadata.get("key", field.name) for field in fields(model)}  # type: ignore[arg-type]


def _settings(model: type[Model], changed: Iterable[tuple[str, object]]) -> str:
    """Settings as they are typed; several values of one key after a comma."""
    keys = _keys(model)
    typed: dict[str, list[str]] = {}
    for key, value in changed:
        shown = str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "")
        typed.setdefault(f"model.{keys[key]}", []).append(shown)
    return ", ".join(f"{key}={','.join(values)}" for key, values in typed.items())


def _under(condition: str, text: str) -> str:
    return f"{condition}: {text}" if condition else text


def formula(bug: Bug, models: Models) -> str:
    """The bug as one formula: of the finished gradient, or of a net with as many kinds of steps as there are."""
    if in_whole(bug):
        return _of_whole(bug, ["dJ"], "dJ of the first parameter")
    asked = [(model, chosen) for model in models.values() for chosen in variants(model)]
    # a net of dense layers before those of other layers, and that with the most steps first
    asked.sort(key=lambda one: (issubclass(one[0], Layered), -len(made(*one).equations(Symbols()).made_of)))
    outcomes = (_outcome(bug, model, chosen) for model, chosen in asked)
    return written(next((one for one in outcomes if one and not isinstance(one, str)), {}))


# --- as text ----------------------------------------------------------------------------------------------------------


def page(bug: type[Bug], models: Models) -> str:
    """The help of one bug."""
    title, how = words(bug)
    parts = [f"bug={bug.name}: {title}"]
    if how:
        parts.append(_filled(how))
    parts.append(f"  {formula(made(bug), models)}")
    if bug.source:
        parts.append(f"  {seen(bug)}")
    settings = [_filled(f"bug.{key}: {meaning}", "    ") for key, meaning in uses(bug)]
    if settings:
        parts.append("\n".join(["Set", *settings]))
    width = max(map(len, models))
    rows = ["In each model"]
    for name, model in models.items():
        for i, line in enumerate(in_model(made(bug), model)):
            label = name if i == 0 else ""
            rows.append(_filled(f"{label:{width}}  {line}", " " * (width + 4), "  "))
    parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def seen(bug: type[Bug]) -> str:
    """Where somebody made the mistake, as one line."""
    return f"Seen in {bug.source}"


def _filled(text: str, rest: str = "  ", first: str | None = None) -> str:
    first = "  " if first is None else first
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def header(bug: type[Bug], models: Models) -> str:
    """The comment with which the bug's YAML begins: its words, its formula and its settings."""
    title, how = words(bug)
    settings = [f"{key}: {meaning}" for key, meaning in bug.uses.items()]
    paragraphs = [title, *filter(None, [how]), formula(made(bug), models), *filter(None, ["; ".join(settings)])]
    paragraphs += [seen(bug)] if bug.source else []
    paragraphs.append(f"In each model: python -m gradcheck.run --help bug={bug.name}")
    return "\n#\n".join(
        textwrap.fill(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        for text in paragraphs
    )


def catalogue(bugs: Mapping[str, type[Bug]], models: Models) -> str:
    """The page of all bugs, in Markdown."""
    example = page(bugs[EXAMPLE], models).rstrip()
    lines = [HEAD, "```sh", f"python -m gradcheck.run --help bug={EXAMPLE}", "```", "", "```text", example, "```", ""]
    lines += ["| bug | mistake | kind of diagnosis |", "| --- | --- | --- |"]
    for name, bug in sorted(bugs.items()):
        kind = f"`{bug.kind}`: {bug.why}" if bug.why else ""
        lines.append(f"| [`{name}`](#{name}) | {words(bug)[0]} | {kind} |")
    for name, bug in sorted(bugs.items()):
        title, how = words(bug)
        lines += [
            "",
            f"## {name}",
            "",
            title,
            *(["", _filled(how, "", "")] if how else []),
            "",
            f"    {formula(made(bug), models)}",
            "",
            *([f"Seen in <{bug.source}>.", ""] if bug.source else []),
        ]
        lines += [*(f"- `bug.{key}`: {meaning}" for key, meaning in uses(bug)), *([""] if bug.uses else [])]
        lines += [f"| model | {'its gradient' if bug is NoBug else 'what is wrong'} |", "| --- | --- |"]
        for model, cls in models.items():
            lines += [
                f"| {f'`{model}`' if i == 0 else ''} | {_cell(line)} |"
                for i, line in enumerate(in_model(made(bug), cls))
            ]
    return "\n".join([*lines, "", *_of_models(models)]) + "\n"


def _of_models(models: Models) -> list[str]:
    """The table of the models, with their keys."""
    lines = ["## The models", "", "| model | what it is | keys |", "| --- | --- | --- |"]
    for name, model in models.items():
        said = (inspect.getdoc(model) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")
        # what is no code stands as it is written
        parts = [re.sub(r"([*_|])", r"\\\1", part) if i % 2 == 0 else part for i, part in enumerate(said.split("`"))]
        keys = ", ".join(f"`model.{key}`" for key in _keys(model).values())
        lines.append(f"| `{name}` | {'`'.join(parts)} | {keys} |")
    return lines


def _cell(line: str) -> str:
    """A line of ``in_model`` in a table: formulas stand as they are typed."""
    return line if line.startswith("no meaning") else "`" + line.replace("|", "\\|") + "`"
