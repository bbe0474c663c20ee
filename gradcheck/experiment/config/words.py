"""Errors of Hydra and OmegaConf in one line that names key, value and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    ValidationError,
)

from gradcheck.errors import BadInput
from gradcheck.experiment.config.hydra_private import known_keys
from gradcheck.experiment.config.overrides import MAX_DEPTH, depth
from gradcheck.experiment.config.schema import DTYPES, LOOKUP
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.uris import hide

# What a user can cause while Hydra composes, and what comes with it: a file that cannot be read, a name that is no string.
COMPOSE_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
    OSError,
    AssertionError,
    TypeError,
    RecursionError,
    AttributeError,  # OmegaConf merges a mapping into null
    LookupError,
)
MAX_WORDS = 400  # characters
ENGINES_INSTEAD = "engine=loky computes in several processes, engine=dask on a cluster"


@dataclass(frozen=True)
class Said:
    """What an error says, and what is known of its cause.

    message : its text.
    overrides : the command line.
    typed : the override that the message names, as it was typed.
    raw : interpolations as they were written, by their full keys.
    """

    message: str
    overrides: Sequence[str] = ()
    typed: str | None = None
    raw: Mapping[str, str] = field(default_factory=dict)

    def override_of(self, key: str) -> str | None:
        """The last override of a key, as it was typed."""
        return next((line for line in reversed(self.overrides) if key_of(line) == key), None)


Sentence: TypeAlias = Callable[[Said, "re.Match[str]"], str | None]


def one_line(error: BaseException, overrides: Sequence[str] = (), raw: Mapping[str, str] | None = None) -> str:
    """What Hydra or OmegaConf say about an input, in one line that names key and value."""
    links = chain(error)
    for link in links:
        if isinstance(link, BadInput):
            return str(link)
    return cut(_sentence(links, Said(_message(links), overrides, raw=raw or {})))


def _sentence(links: Sequence[BaseException], said: Said) -> str:
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
                return _unresolved(link, said)
            case ConfigAttributeError() | ConfigKeyError():
                return _unknown_key(link, said)
            case ValidationError():
                return _refused(link, said)
    if (found := _by_message(MESSAGES, said)) is not None:
        return found
    if said.message.startswith("Error merging override") and len(links) > 1:
        said = replace(said, message=str(links[1]))
    if (found := _by_message(CAUSES, said)) is not None:
        return found
    text = next((line.strip() for line in said.message.splitlines() if line.strip()), type(links[0]).__name__)
    return f"{said.typed}: {text}" if said.typed and said.typed not in text else text


def chain(error: BaseException | None) -> list[BaseException]:
    """An error, and those that it came from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def cut(text: str) -> str:
    """Words on one line, without credentials, of at most MAX_WORDS characters."""
    text = hide(" ".join(text.split()))  # hidden first: what is cut off may be the end of a URI
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 3] + "..."


def key_of(override: str) -> str:
    """The key of an override, without its sign."""
    return override.lstrip("+~").partition("=")[0]


def _message(links: Sequence[BaseException]) -> str:
    return next((str(link) for link in links if str(link)), type(links[0]).__name__)


def _typed(said: Said) -> str | None:
    """The override that a message names, as it was typed."""
    first = said.message.splitlines()[0] if said.message else ""
    if match := re.match(r"(?:Error merging override|Error parsing override) '?(.+?)'?$", first):
        return match[1]
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
    lacks_sign = "append to your default list" in said.message and match[1] == "experiment"
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


def _nothing_to_remove(said: Said, match: re.Match[str]) -> str:
    removal = f"~{match[1]}"
    line = next((line for line in said.overrides if line.partition("=")[0] == removal), removal)
    return f"{line}: there is no such key to remove"


def _chosen_already(said: Said, match: re.Match[str]) -> str:
    line = match[2] or said.override_of(match[1]) or match[1]
    return f"{line}: is chosen by default; write {line.lstrip('+')} to choose another"


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
    line = said.override_of(match[1]) or match[1]
    return f"{line}: is null, which no mapping is merged into; write it in a config file"


# A pattern that a message may have, and the sentence for it.
MESSAGES: tuple[tuple[str, Sentence], ...] = (
    (r"\ACould not override '([^']+)'", _no_such_key),
    (
        r"\AOverride (\S.*?) looks like a config group override, but config group '(.+)' does not exist",
        lambda _, match: f"{match[1]}: no such config group",
    ),
    (r"\A(?:Index|invalid literal for int\(\) with base 10:) '(.*?)'(?: \(str\) is not an int)?$", _no_list_index),
    (r"full_key: hydra\.overrides\.task\[(\d+)\]", _no_interpolation),
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
)


# --- by the type ------------------------------------------------------------------------------------------------------


def _unreadable(error: OverrideParseException) -> str:
    first = str(error).splitlines()[0]
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
    sign = "+" if said.override_of(group) is None or any(o.startswith(f"+{group}=") for o in said.overrides) else ""
    sign = sign if group == "experiment" else ""
    if not error.options:
        return f"{sign}{group}={name}: no such config"
    found = f"{sign}{group}={name}: must be one of {', '.join(sorted(error.options))}"
    return f"{found}, or that of a plugin; or leave it out: {ENGINES_INSTEAD}" if group == "hydra/launcher" else found


def _unresolved(error: InterpolationResolutionError, said: Said) -> str:
    full, text = _told(error)
    written = said.raw.get(full)
    if not written:
        written = next((v for k, v in said.raw.items() if full.startswith(k) or k.startswith(full)), None)
    shown = f"{full}={written}" if written else (said.typed or full)
    if match := re.match(r"(?:\w+ raised while resolving interpolation: )?(.*)", text):
        text = match[1]
    if match := re.match(r"Interpolation key 'hydra\.(.+)' not found", text):
        text = f"a run does not see Hydra's own keys; write ${{hydra:{match[1]}}}"
    if full == "_dummy_":  # Hydra's name for the choice of a config
        lines = [line.replace("\\", "") for line in said.overrides]
        shown = next((line for line in lines if "${" in line), "defaults")
        text += "; a config can be named after another group only"
    return f"{shown}: {text}"


def _unknown_key(error: OmegaConfBaseException, said: Said) -> str:
    full, _ = _told(error)
    prefix, _, last = full.rpartition(".")
    aside = {"hydra", LOOKUP.get(prefix, "hydra")}
    known = sorted(key for key in known_keys(error.parent_node) if key not in aside)
    near = difflib.get_close_matches(last, known, 1)
    where = f"{prefix}." if prefix else ""
    guess = f" (did you mean {where}{near[0]}?)" if near else ""
    allowed = f"; allowed: {', '.join(where + key for key in known)}" if known else ""
    return f"{said.typed or full}: no such key{guess}{allowed}"


_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false", "Bytes": "bytes"}
_NOT_NULL = r"not Optional|Incompatible value 'None'|(?i:non-optional)"
# A pattern that the refusal of a value may have; how the value is shown where no override is known; the sentence.
REFUSALS: tuple[tuple[str, str, Callable[[str, re.Match[str]], str]], ...] = (
    (
        r"\AValue '(.*)' of type '.*' could not be converted to (\w+)",
        "{full}={found}",
        lambda _, match: f"must be {_KINDS.get(match[2], match[2])}",
    ),
    (
        r"\ACannot convert '(list|dict)' to string",
        "{full}",
        lambda _, match: f"must be one word, not a {'list' if match[1] == 'list' else 'mapping'}",
    ),
    (r"is not a valid bool", "{full}", lambda *_: "must be true or false"),
    (_NOT_NULL, "{full}=null", lambda full, _: f"must not be null{_choices(full)}"),
    (r"is not a ListConfig, list or tuple", "{full}", lambda full, _: f"must be a list, as {full}=[...]"),
)


def _refused(error: ValidationError, said: Said) -> str:
    full, text = _told(error)
    for pattern, shown, sentence in REFUSALS:
        if match := re.search(pattern, text):
            found = match[1] if match.lastindex else ""
            return f"{said.typed or shown.format(full=full, found=found)}: {sentence(full, match)}"
    where = said.typed or full
    return f"{where}: {text}" if where else text


def _choices(full: str) -> str:
    names = {"scheme": tuple(SCHEMES), "dtype": DTYPES}.get(full)
    return f", but one of {', '.join(names)}" if names else ""


def _told(error: OmegaConfBaseException) -> tuple[str, str]:
    """The full key that an error of OmegaConf is about, and the first line of its message."""
    return str(error.full_key or ""), str(error.msg or error).splitlines()[0]
