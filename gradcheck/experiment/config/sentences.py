"""The sentences for errors of Hydra and OmegaConf, which name key, value and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from hydra.errors import InstantiationException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    ValidationError,
)

from gradcheck.experiment.config.hydra_private import known_keys
from gradcheck.experiment.config.overrides import MAX_DEPTH, depth
from gradcheck.experiment.config.quotes import because_of_quotes
from gradcheck.experiment.config.said import Said, key_of, told
from gradcheck.experiment.config.schema import DTYPES, LOOKUP, READY, of_sections
from gradcheck.experiment.config.unreadable import missing_package
from gradcheck.experiment.config.unresolved import KINDS, unresolved
from gradcheck.numerics.schemes import SCHEMES

ENGINES_INSTEAD = "engine=loky computes in several processes, engine=dask on a cluster"

Sentence: TypeAlias = Callable[[Said, "re.Match[str]"], str | None]


def sentence(links: Sequence[BaseException], said: Said) -> str:
    """The words of the first error that has some: by its type, by its message, by that of its cause."""
    if any(isinstance(link, RecursionError) for link in links):
        deepest = max(said.overrides, key=depth, default="config")
        return f"{next(iter(said.raw), key_of(deepest))}: nested too deep, must be at most {MAX_DEPTH} levels"
    said = replace(said, typed=_typed(said))
    for link in links:
        match link:
            case OverrideParseException():
                return _unreadable(link)
            case MissingConfigException():
                return _missing(link, said)
            case InterpolationResolutionError():
                return unresolved(link, said)
            case ConfigAttributeError() | ConfigKeyError():
                return _unknown_key(link, said)
            case ValidationError() if link.full_key or said.typed:
                return _refused(link, said)
            case InstantiationException():
                return _not_made(link, links[-1], said)
    if (found := _by_message(MESSAGES, said)) is not None:
        return found
    if said.message.startswith("Error merging override") and len(links) > 1:
        said = replace(said, message=str(links[1]))
    if (found := _by_message(CAUSES, said)) is not None:
        return found
    return _as_it_is(links, said)


def _as_it_is(links: Sequence[BaseException], said: Said) -> str:
    """The words of an error that has no sentence, behind what they are about."""
    lines = [line.strip() for line in said.message.splitlines() if line.strip()] or [type(links[0]).__name__]
    text = lines[0]
    if match := re.match(r"(In '.+': )\w+ raised while composing config:$", text):
        text = f"{match[1]}{' '.join(lines[1:2])}"
    if isinstance(links[0], KeyError):
        text = f"there is no {text}"
    full = re.search(r"full_key: (\S+)", said.message)
    key = full[1] if full else said.about
    typed = [line for line in said.overrides if key_of(line).startswith(("hydra.", "hydra/"))]
    about = said.typed or (key and said.override_of(key)) or key or _alone(typed)
    return f"{about}: {text}" if about and about not in text else text


def _alone(lines: Sequence[str]) -> str:
    return lines[0] if len(lines) == 1 else ""


def _typed(said: Said) -> str | None:
    """The override that a message names, as it was typed."""
    first = said.message.splitlines()[0] if said.message else ""
    if match := re.match(r"(?:Error merging override|Error parsing override) (.+)$", first):
        return next((line for line in said.overrides if match[1] in (line, f"'{line}'")), match[1])
    named = r"(?:Could not override|Could not append to config. An item is already at) '([^']+)'"
    return said.override_of(match[1]) if (match := re.match(named, said.message)) else None


def _by_message(table: Sequence[tuple[str, Sentence]], said: Said) -> str | None:
    """The sentence of the first pattern that is found in the message, and that has one for it."""
    for pattern, sentence in table:
        match = re.search(pattern, said.message)
        if match and (words := sentence(said, match)) is not None:
            return words
    return None


# --- by the message ---------------------------------------------------------------------------------------------------


def _no_such_key(said: Said, match: re.Match[str]) -> str:
    line = said.override_of(match[1]) or match[1]
    lacks_sign = "append to your default list" in said.message and match[1] in READY
    return f"{line}: {f'write +{line}' if lacks_sign else 'no such key'}"


def _no_list_index(said: Said, match: re.Match[str]) -> str | None:
    """``key.name=`` of a key that is a list."""
    for line in said.overrides:
        key, _, rest = key_of(line).partition(f".{match[1]}")
        if rest[:1] in ("", ".") and f"{key}.{match[1]}{rest}=" in line:
            return f"{line}: {key} is a list and has no {match[1]}; write {key}=[...]"
    return None


def _no_interpolation(said: Said, match: re.Match[str]) -> str | None:
    tasks = [line for line in said.overrides if not key_of(line).startswith(("hydra.", "hydra/"))]
    for line in tasks[int(match[1]) : int(match[1]) + 1]:
        return f"{line}: cannot be read as an interpolation: {said.message.splitlines()[0]}"
    return None


def _not_in_defaults(said: Said, match: re.Match[str]) -> str | None:
    """``override model: mlp`` in a file of another group, which Hydra looks for below that group; or in a file whose
    package is not that of the whole config.
    """
    file, group = said.files.named(match[1]), match[2]
    if file is not None and file.package and match[3].startswith(f"{file.package}."):
        return missing_package(file)
    if (found := said.files.of_choice(group)) is None:
        return None
    entry, place = found
    choice, inner = entry.partition(": ")[2], group.rpartition("/")[2]
    if "hydra/" in group:
        inner = f"hydra/{inner}"
    elif inner not in LOOKUP:
        near = difflib.get_close_matches(inner, LOOKUP, 1)
        guess = f"; write '- override /{near[0]}: {choice}'" if near else ""
        return f"{place}: {entry}: there is no group {inner}; there are {', '.join(sorted(LOOKUP))}{guess}"
    return f"{place}: {entry}: nothing is chosen from {group}; write '- override /{inner}: {choice}'"


def _no_reference(said: Said, match: re.Match[str]) -> str | None:
    """A value of a file that begins as an interpolation does."""
    if (found := said.files.holding(match[1])) is None:
        return None
    return f"{found[1]}: {found[0]}: no interpolation; close each ${{ with }}, or write \\${{ for text"


def _list_for_a_config(said: Said, match: re.Match[str]) -> str | None:
    """A file whose whole is a list."""
    file = said.files.named(match[1])
    if file is None or (place := file.places.get(f"{file.package}[0]")) is None:
        return None
    return f"{place}: a config is no list; write KEY: VALUE, without the dash"


def _nothing_to_remove(said: Said, match: re.Match[str]) -> str:
    removal = f"~{match[1]}"
    line = next((line for line in said.overrides if line.partition("=")[0] == removal), removal)
    return f"{line}: there is no such key to remove"


def _chosen_already(said: Said, match: re.Match[str]) -> str:
    line = match[2] or said.override_of(match[1])
    if line is None and (found := said.files.of_choice(match[1])):
        entry, place = found
        choice = entry.partition(": ")[2]
        return f"{place}: {entry}: is chosen by default; write '- override /{match[1]}: {choice}' to choose another"
    return f"{line or match[1]}: is chosen by default; write {(line or match[1]).lstrip('+')} to choose another"


def _no_item(said: Said, match: re.Match[str]) -> str | None:
    if said.typed is None:
        return None
    key, _, item = key_of(said.typed).rpartition(".")
    return f"{said.typed}: {key} has no item {item}; write the whole list, as {key}=[...]"


def _no_list(said: Said, match: re.Match[str]) -> str | None:
    return f"{said.typed}: must be a list, as {key_of(said.typed)}=[...]" if said.typed else None


def _mapping_for_a_list(said: Said, match: re.Match[str]) -> str | None:
    """OmegaConf 2.4 does not say which of the two is the list; a mapping that was typed is not."""
    mapping = (said.typed or "").partition("=")[2].lstrip()[:1] == "{"
    return _no_list(said, match) if mapping else None


def _null(said: Said, match: re.Match[str]) -> str:
    hydras = [line for line in said.overrides if key_of(line).startswith("hydra.")]
    line = said.typed or said.override_of(match[1]) or _alone(hydras) or match[1]
    if key_of(line).startswith("hydra.sweeper.params"):
        return (
            f"{line}: axes are typed as they are, such as eps=1e-4,1e-6 -m; only a config file has hydra.sweeper.params"
        )
    return f"{line}: is null, which no mapping is merged into; write it in a config file"


# A pattern that a message may have, and the sentence for it.
MESSAGES: tuple[tuple[str, Sentence], ...] = (
    (r"\Aprovider=.* path=(.*) is not available", lambda _, match: f"hydra.searchpath: {match[1]}: no such folder"),
    (
        r"\AIn '([^']+)': (?:Could not override|.*\nNo earlier Group Default for) '([^'@]+)@?([^']*)'",
        _not_in_defaults,
    ),
    (r"\AIn '([^']+)': .*(?:\n.*)?Cannot merge (?:.*ListConfig|incompatible)", _list_for_a_config),
    (r"\ACould not override '([^']+)'", _no_such_key),
    (
        r"\AOverride (\S.*?) looks like a config group override, but config group '(.+)' does not exist",
        lambda _, match: f"{match[1]}: no such config group",
    ),
    (r"\A(?:Index|invalid literal for int\(\) with base 10:) '(.*?)'(?: \(str\) is not an int)?$", _no_list_index),
    (r"full_key: hydra\.overrides\.task\[(\d+)\]", _no_interpolation),
    (
        r"\A(?:no viable alternative|token recognition error|extraneous input|mismatched input)[^']*'(\$\{.*)'",
        _no_reference,
    ),
    (r"\ACould not delete from config\. '(.*)' does not exist", _nothing_to_remove),
    (r"\AMultiple values for ([\w/]+)\.|\Aforce-add of config groups is not supported: '(.+)'", _chosen_already),
    (
        r"\AAmbiguous value for argument '(.+)'(?:\n|$)",
        lambda _, match: f"{match[1]}: several values; --cfg and --info show one run, so give one value of each key",
    ),
)
# The same for the message of what caused "Error merging override".
CAUSES: tuple[tuple[str, Sentence], ...] = (
    (r"list index out of range", _no_item),
    (r"Cannot merge DictConfig with ListConfig", _no_list),
    (r"Cannot merge incompatible container types", _mapping_for_a_list),
    (r"\A'NoneType' object has no attribute .*\n\s*full_key: (\S+)", _null),
    (r"\A(Unexpected type for root): NoneType", _null),
)


# --- by the type ------------------------------------------------------------------------------------------------------


def _unreadable(error: OverrideParseException) -> str:
    first = str(error).splitlines()[0]
    if (quotes := because_of_quotes(str(error.override))) is not None:
        return quotes
    key, equals, _ = str(error.override).partition("=")
    if "EQUAL at '<EOF>'" in first or not equals:
        return f"{error.override}: must be key=value, without blanks around the sign"
    return (
        f"{error.override}: cannot be read as key=value; brackets must be closed, and text with other signs"
        f" quoted for Hydra and the shell: \"{key}='...'\""
    )


def _missing(error: MissingConfigException, said: Said) -> str:
    path = error.missing_cfg_file or ""
    group, _, name = path.rpartition("/")
    if not group:
        return str(error).splitlines()[0]
    typed = (line for line in said.overrides if key_of(line) == group)
    if not any(name in line for line in typed) and (found := said.files.of_choice(group, name)):
        return f"{found[1]}: {found[0]}: {_which(error, group, name)}"
    sign = "+" if said.override_of(group) is None or any(o.startswith(f"+{group}=") for o in said.overrides) else ""
    sign = sign if group in READY else ""
    return f"{sign}{group}={name}: {_which(error, group, name)}"


def _which(error: MissingConfigException, group: str, name: str) -> str:
    """What may stand in place of a config that is not there."""
    if error.options:
        known = sorted(error.options)
        near = difflib.get_close_matches(name, known, 3)  # first: of a long line the end is cut
        found = f"must be one of {', '.join([*near, *(one for one in known if one not in near)])}"
        return (
            f"{found}, or that of a plugin; or leave it out: {ENGINES_INSTEAD}" if group == "hydra/launcher" else found
        )
    inner = group.rpartition("/")[2]
    return (
        f"no such config; write '- override /{inner}: {name}'"
        if inner in LOOKUP and inner != group
        else "no such config"
    )


def _unknown_key(error: OmegaConfBaseException, said: Said) -> str:
    full, _ = told(error)
    if (
        said.typed is None
        and (file := said.files.below(full.partition(".")[0]))
        and full.partition(".")[0] not in LOOKUP
    ):
        return missing_package(file)
    prefix, _, last = full.rpartition(".")
    aside = {"hydra", LOOKUP.get(prefix, "hydra")}
    known = sorted(key for key in known_keys(error.parent_node) if key not in aside)
    where = f"{prefix}." if prefix else ""
    near = [where + one for one in difflib.get_close_matches(last, known, 1)]
    near += [] if prefix else of_sections(last)
    guess = f" (did you mean {' or '.join(near)}?)" if near else ""
    allowed = f"; allowed: {', '.join(where + key for key in known)}" if known else ""
    return f"{said.typed or full}: no such key{guess}{allowed}"


def _not_made(error: InstantiationException, cause: BaseException, said: Said) -> str:
    """A class that a config names cannot be imported or called."""
    text = str(error)
    full, target = re.search(r"full_key: (\S+)", text), re.search(r"'([^']+)'", text)
    key = full[1] if full else said.about
    words = " ".join(str(cause).split()) or type(cause).__name__
    named = f"{target[1]} " if target and full else ""
    return f"{key}: {named}cannot be made: {words}; write the full name of a class that can be imported"


_NOT_NULL = r"not Optional|Incompatible value 'None'|(?i:non-optional)"
# A pattern that the refusal of a value may have; how the value is shown where no override is known; the sentence.
REFUSALS: tuple[tuple[str, str, Callable[[str, re.Match[str]], str]], ...] = (
    (
        r"\AValue '(.*)' of type '.*' could not be converted to (\w+)",
        "{full}={found}",
        lambda _, match: f"must be {KINDS.get(match[2], match[2])}",
    ),
    (
        r"\ACannot convert '(list|dict)' to string",
        "{full}",
        lambda _, match: f"must be one word, not a {'list' if match[1] == 'list' else 'mapping'}",
    ),
    (r"\ACannot assign \w+ to Dict", "{full}", lambda *_: "must be a mapping, such as {key: value}"),
    (r"is not a valid bool", "{full}", lambda *_: "must be true or false"),
    (_NOT_NULL, "{full}=null", lambda full, _: f"must not be null{_choices(full)}"),
    (r"is not a ListConfig, list or tuple", "{full}", lambda full, _: f"must be a list, as {full}=[...]"),
)


def _refused(error: ValidationError, said: Said) -> str:
    full, text = told(error)
    for pattern, shown, sentence in REFUSALS:
        if match := re.search(pattern, text):
            found = match[1] if match.lastindex else ""
            return f"{said.typed or shown.format(full=full, found=found)}: {sentence(full, match)}"
    where = said.typed or full
    return f"{where}: {text}" if where else text


def _choices(full: str) -> str:
    names = {"scheme": tuple(SCHEMES), "dtype": DTYPES}.get(full)
    return f", but one of {', '.join(names)}" if names else ""
