"""Errors in one line: whatever Hydra, OmegaConf, YAML or a plugin say of what was typed or written, and where that is.

``in_one_line`` is the one way: it knows no list of errors.  What one of these libraries raises, or what it calls raises, is
about an input.  What our own code raises is a mistake of ours and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

from gradcheck.errors import BadInput, Damaged, Meaningless, WriteError
from gradcheck.experiment.config.flags import sections
from gradcheck.experiment.config.quotes import because_of_quotes
from gradcheck.experiment.config.said import Said, key_of
from gradcheck.experiment.config.sentences import sentence
from gradcheck.experiment.config.written import Files, Place
from gradcheck.uris import hide

MAX_WORDS = 400  # characters
OURS, THEIRS = "gradcheck", ("hydra", "omegaconf", "yaml", "antlr4")
_KEY = re.compile(r"[+~]*([^\s=:,'\"]+)(?:=|: )")  # with which a message begins that names a key


@dataclass(frozen=True)
class Asked:
    """What a config is made of: the overrides that were typed, and the files that the user brought along."""

    overrides: Sequence[str] = ()
    files: Callable[[], Files] = Files


ASKED: ContextVar[Asked | None] = ContextVar("asked", default=None)  # of the config that is open


@contextmanager
def placed(asked: Asked) -> Iterator[None]:
    """All refusals within this block, of ours and of the libraries, with the place of what they are about."""
    before = ASKED.set(asked)
    try:
        with in_one_line():
            yield
    except (Damaged, Meaningless):
        raise
    except BadInput as error:
        message = explained(str(error), asked.overrides, asked.files())
        if message == str(error):
            raise
        raise BadInput(message) from error
    finally:
        ASKED.reset(before)


@contextmanager
def in_one_line(
    overrides: Sequence[str] = (),
    raw: Callable[[], Mapping[str, str]] = dict,
    about: str = "",
) -> Iterator[None]:
    """What a library raises for an input within this block, as BadInput.

    raw : gives the interpolations that may be at fault, as they were written, by their full keys.
    about : the key that the block reads, for an error that names none.
    """
    try:
        yield
    except (BadInput, Meaningless, WriteError, MemoryError):
        raise
    except Exception as error:
        if not is_theirs(error):
            raise
        raise BadInput(one_line(error, overrides, raw(), about)) from error


def is_theirs(error: BaseException) -> bool:
    """Whether an error was raised within Hydra, OmegaConf or YAML, or in what they called, and not by us."""
    if _top(type(error).__module__) in THEIRS:  # such as an error of our own resolver, which OmegaConf called
        return True
    theirs = False
    step: TracebackType | None = error.__traceback__
    while step is not None:
        top = _top(str(step.tb_frame.f_globals.get("__name__")))
        theirs = top in THEIRS or (theirs and top != OURS)
        step = step.tb_next
    return theirs


def _top(module: str) -> str:
    return module.partition(".")[0]


def one_line(
    error: BaseException,
    overrides: Sequence[str] = (),
    raw: Mapping[str, str] | None = None,
    about: str = "",
) -> str:
    """What a library says about an input, in one line that names key and value."""
    links = chain(error)
    for link in links:
        if isinstance(link, BadInput):
            return str(link)
    message = next((str(link) for link in links if str(link)), type(links[0]).__name__)
    asked = ASKED.get() or Asked()
    said = Said(message, overrides or asked.overrides, raw=raw or {}, files=asked.files(), about=about)
    return cut(sentence(links, said))


def explained(message: str, overrides: Sequence[str], files: Files) -> str:
    """A refusal with what can be said of where its key was given: as text for its quotes, or in a line of a file."""
    match = _KEY.match(message)
    if match is None:
        if (place := files.beginning(message)) is not None:
            return f"{place}: {message}"
        found, hydras = files.placed(message, sections()), [o for o in overrides if key_of(o).startswith("hydra")]
        named = found != message or files.names(message) or len(hydras) != 1
        return found if named else f"{hydras[0]}: {message}"
    key, value = match[1], message[match.end() :] if message[match.end() - 1] == "=" else None
    above = [line for line in reversed(overrides) if key.startswith((f"{key_of(line)}.", f"{key_of(line)}["))]
    for line in [*[line for line in reversed(overrides) if key_of(line) == key], *above]:
        if not key.startswith("hydra") and (quotes := because_of_quotes(line)) is not None:
            return quotes
        if value is None or key != key_of(line) or value.startswith(line.partition("=")[2][:1]):
            return message
    section = key.rpartition(".")[0]
    place = files.of_key(key) or _chosen(files, key) or files.of_key(section) or _chosen(files, section)
    return message if place is None else f"{place}: {message}"


def _chosen(files: Files, group: str) -> Place | None:
    """Where a file chooses from a group of configs."""
    found = files.of_choice(group)
    return found[1] if found is not None else None


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
