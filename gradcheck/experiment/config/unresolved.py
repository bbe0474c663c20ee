"""The sentences for interpolations that cannot be resolved."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator

from omegaconf.errors import InterpolationResolutionError

from gradcheck.experiment.config.hydra_private import raw, resolvers, root_of
from gradcheck.experiment.config.said import Said, told

# What a type of OmegaConf, or of Python, takes
KINDS = {
    **dict.fromkeys(("Integer", "int"), "a whole number"),
    **dict.fromkeys(("Float", "float"), "a number"),
    **dict.fromkeys(("Boolean", "bool"), "true or false"),
    **dict.fromkeys(("String", "str"), "text"),
    "Bytes": "bytes",
}


def unresolved(error: InterpolationResolutionError, said: Said) -> str:
    """Which interpolation cannot be resolved, why, and what to write."""
    full, text = told(error)
    if match := re.match(r"(?:\w+ raised while resolving interpolation: )?(.*)", text):
        text = match[1]
    if full == "_dummy_":  # Hydra's name for the choice of a config
        lines = [line.replace("\\", "") for line in said.overrides]
        shown = next((line for line in lines if "${" in line), "defaults")
        return f"{shown}: {_reason(error, text)}; a config can be named after another group only"
    return f"{_shown(full, text, said)}: {_reason(error, text)}"


def _shown(full: str, text: str, said: Said) -> str:
    """The key and its value as it was written, as far as they are known."""
    matches = (re.search(pattern, text) for pattern, _ in REASONS)
    inside = next((match[1] for match in matches if match and match.lastindex), "")
    if not full:  # known by the reference in it alone
        full = next((key for key, value in said.raw.items() if inside and inside in value), "")
    written = said.raw.get(full)
    if not written and full:
        written = next((v for k, v in said.raw.items() if full.startswith(k) or k.startswith(full)), None)
    if written:
        return f"{full}={written}"
    if line := said.typed or said.override_of(full):
        return line
    if inside and (found := said.files.holding(f"${{{inside}")):
        return f"{found[1]}: {found[0]}"
    line = next((line for line in said.overrides if inside and f"${{{inside}" in line), "")
    return line or full or said.about or "config"


def _reason(error: InterpolationResolutionError, text: str) -> str:
    for pattern, sentence in REASONS:
        if match := re.search(pattern, text):
            return sentence(error, match)
    text = re.sub(r"\AWhile dereferencing interpolation '.*?': (?=Value|Incompatible)", "", text)
    if match := re.match(r"Value '(.*)' is not a valid bool", text):
        return f"is {match[1]!r}, must be true or false; refer to a key that is, or write it"
    if match := re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", text):
        return f"is {match[1]!r}, must be {KINDS.get(match[2], match[2])}; refer to a key that has one, or write it"
    if match := re.match(r"Incompatible value 'None' for field of type '(\w+)'", text):
        return f"is null, must be {KINDS.get(match[1], match[1])}; refer to a key that has one, or write it"
    return text


def _no_key(error: InterpolationResolutionError, match: re.Match[str]) -> str:
    key = match[1]
    if key.startswith("hydra."):
        return f"a run does not see Hydra's own keys; write ${{hydra:{key.removeprefix('hydra.')}}}"
    near = difflib.get_close_matches(key, list(_keys(error)), 1)
    return f"there is no key {key}" + (f"; did you mean ${{{near[0]}}}?" if near else "")


def _keys(error: InterpolationResolutionError) -> Iterator[str]:
    """The keys that an interpolation may name."""
    if (root := root_of(error.parent_node)) is None:
        return

    def walk(value: object, full: str) -> Iterator[str]:
        if full:
            yield full
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, f"{full}.{key}".lstrip("."))

    for key in root:
        if key != "hydra":
            yield from walk(raw(root, str(key)), str(key))


def _no_variable(_: InterpolationResolutionError, match: re.Match[str]) -> str:
    return (
        f"the environment variable {match[1]} is not set; set it, or write a default, as ${{oc.env:{match[1]},VALUE}}"
    )


def _no_resolver(_: InterpolationResolutionError, match: re.Match[str]) -> str:
    names = sorted(set(resolvers()) - {"config_groups"})
    near = difflib.get_close_matches(match[1], names, 1)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"there is no resolver {match[1]}{guess}; there are {', '.join(names)}"


# A pattern that the reason may have, and the sentence for it.
REASONS: tuple[tuple[str, Callable[[InterpolationResolutionError, re.Match[str]], str]], ...] = (
    (r"Interpolation key '(.+)' not found", _no_key),
    (r"Environment variable '(.+)' not found", _no_variable),
    (r"Unsupported interpolation type (.+)", _no_resolver),
    (r"[Rr]ecursive interpolation", lambda *_: "refers to itself, maybe by way of other keys; write a value into one"),
    (
        r"(?:\w+ ?\(?\)?) (?:missing|takes) .*argument",
        lambda _, match: f"{match[0]}; write the arguments after a colon, as ${{name:a,b}}",
    ),
)
