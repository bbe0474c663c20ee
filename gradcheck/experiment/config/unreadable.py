"""A config file that cannot be read, in one line: file, line, what stands there, what to write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import yaml
from omegaconf import OmegaConf

from gradcheck.errors import one_line
from gradcheck.experiment.config.written import BOM, GLOBAL, ConfigFile, Place
from gradcheck.uris import hide

_SHOWN = 60  # characters of a line that are shown
_PARTS = 5_000  # parts of a file that are tried one by one

# What YAML may say, and what to write; {0} is what the pattern found, {line} where the context of the error begins.
ADVICE: tuple[tuple[str, str], ...] = (
    (r"'\\t' that cannot start|found character '\\t'", "a tab cannot indent; write blanks"),
    (r"found duplicate key (.*)", "the key {0} stands twice in the mapping that begins in line {line}; leave one out"),
    (
        r"while parsing a flow (sequence|mapping)",
        "the bracket that opens in line {line} is not closed, or a comma is missing; write [a, b] or {{a: 1, b: 2}}",
    ),
    (
        r"while scanning a (?:single-|double-)?quoted scalar(?!.*escape).*",
        "the quote that opens in line {line} is not closed; write one at both ends, and a quote within as two",
    ),
    (
        r"found unknown escape character|expected escape sequence",
        "the sign \\ in double quotes begins an escape; write single quotes",
    ),
    (r"could not find expected ':'|while scanning a simple key", "a key without a colon; write KEY: VALUE"),
    (
        r"mapping values are not allowed",
        "a colon where no key can stand; write text with a colon in quotes, a key in a line of its own",
    ),
    (
        r"expected <block end>|while parsing a block (?:mapping|collection)",
        "does not fit in with the lines above; begin all keys of one mapping in the same column, lists with '- '",
    ),
    (r"undefined alias", "no value is called so; write text that begins with * in quotes"),
    (
        r"while scanning an (?:alias|anchor)|duplicate anchor",
        "a sign of YAML (* or &) begins the value; write it in quotes",
    ),
    (r"found character '(.)' that cannot start", "a value cannot begin with {0}; write it in quotes"),
    (
        r"constructor for the tag|while (?:scanning|parsing) a (?:tag|node)|tag handle",
        "a sign of YAML (!) begins the value; write it in quotes",
    ),
    (r"while scanning a directive|directive", "a line cannot begin with %; write the value in quotes"),
    (
        r"while scanning a block scalar|<document start>",
        "a sign of YAML (| > or ---) begins something else here; write KEY: VALUE",
    ),
    (r"single document", "a second config begins here; leave out --- and what follows"),
    (r"unhashable key|not hashable", "a key must be one word; write text with brackets in quotes"),
    (
        r"for merging|for constructing|expected a (?:mapping|sequence|scalar)",
        "another kind of value must stand here; write KEY: VALUE",
    ),
    (
        r"special characters are not allowed|unacceptable character",
        "a control character; write it in double quotes as \\x.., or leave it out",
    ),
    (r"header format|Too many components", f"no header of Hydra; write '{GLOBAL}'"),
    (
        r"in defaults|defaults list|defaults must",
        "no defaults list of Hydra; its entries are such as '- override /model: mlp'",
    ),
    (r"key type", "a key must be text or a number; write it in quotes"),
    (r"not a supported primitive type", "no value of a config; write text, a number, a list or a mapping"),
    (
        r"no viable alternative|token recognition|extraneous input|mismatched input",
        "no interpolation; close each ${{ with }}, or write \\${{ for text",
    ),
)


def unreadable(file: ConfigFile, error: Exception) -> str:
    """What is wrong in a file that could not be read, with its line."""
    try:
        with open(file.path, "rb") as opened:
            content = opened.read()
        text = content.decode("utf-8")
    except OSError as failed:
        return f"{file.shown}: {failed.strerror or failed}"
    except UnicodeDecodeError as failed:
        line = content.count(b"\n", 0, failed.start) + 1
        return f"{file.shown}, line {line}: {_encoding(content, failed.start)}; save the file as UTF-8"
    if isinstance(error, yaml.YAMLError):
        return _in_yaml(file, text, _in_python(text) or error)
    words = one_line(next(iter(str(error).strip().splitlines()), type(error).__name__))
    line = _line_of(text, words, error)
    return _put(file, text, line, one_line(error), line, words)


def _encoding(content: bytes, start: int) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is UTF-16"
    before = content[:start].rpartition(b"\n")[2] + content[start:].partition(b"\n")[0]
    return f"{_quoted(before.decode('latin-1'))} holds the byte 0x{content[start]:02x}, which is no UTF-8"


def missing_package(file: ConfigFile) -> str:
    """Why the keys of a file are set below a key that is not there."""
    first = Place(file.shown, 1)
    if file.text.startswith(BOM):
        return f"{first}: a byte order mark hides '{GLOBAL}' from Hydra; save the file as UTF-8 without it"
    said = "is missing" if file.header is None else f"is # @package {file.header}"
    return f"{first}: '{GLOBAL}' {said}, so that the keys are set below {file.package}; write it as the first line"


# ------------------------------------------------------------------------------------------------------------- by YAML


def _in_python(text: str) -> yaml.YAMLError | None:
    """What YAML in Python says, whichever reader found the error first: the words of others differ."""
    try:
        yaml.load(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        return error
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def _in_yaml(file: ConfigFile, text: str, error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        said = f"{error.context or ''} {error.problem or ''}"
        marks = [mark for mark in (error.problem_mark, error.context_mark) if mark is not None]
        lines = [mark.line + 1 for mark in marks] or [1]
        return _put(file, text, lines[0], said, lines[-1], one_line(error.problem or error.context))
    position = getattr(error, "position", None)
    line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
    return _put(file, text, line, str(error), line, one_line(error))


def _put(file: ConfigFile, text: str, line: int, said: str, context: int, words: str) -> str:
    """The line of an error, the advice for what was said."""
    lines = text.splitlines() or [""]
    line = min(line, len(lines))  # where the end of the file was found too early
    advice = words
    for pattern, sentence in ADVICE:
        if match := re.search(pattern, said):
            advice = sentence.format(*[one_line(group) for group in match.groups()], line=min(context, len(lines)))
            break
    return f"{Place(file.shown, line)}: {_quoted(lines[line - 1])}: {advice}"


def _quoted(line: str) -> str:
    text = hide(line.strip("\r\n "))
    return f"'{text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'}'"


# ------------------------------------------------------------------------------------------------------- by OmegaConf


def _line_of(text: str, words: str, error: Exception) -> int:
    """The line that something other than YAML does not take: the one it quotes, or the smallest part that it refuses."""
    for number, line in enumerate(text.splitlines(), 1):
        if len(line.strip("# ")) > 1 and f"'{line.lstrip('# ').strip()}'" in words:
            return number
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return 1
    for key, _ in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value in words.split():
            return int(key.start_mark.line) + 1
    return _smallest(root, lambda part: _refuses(part, type(error))) if root is not None else 1


def _smallest(node: yaml.Node, refused: Callable[[yaml.Node], bool]) -> int:
    """The first line of the smallest part of a node that is refused."""
    line, tried = node.start_mark.line, 0
    while True:
        for start, child in _children(node):
            tried += 1
            if tried > _PARTS:
                return line + 1
            if refused(child):
                node, line = child, start
                break
        else:
            return line + 1


def _children(node: yaml.Node) -> Iterator[tuple[int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            alone = yaml.MappingNode(node.tag, [(key, value)])
            yield key.start_mark.line, alone if len(node.value) > 1 else value
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield item.start_mark.line, item


def _refuses(part: yaml.Node, kind: type[Exception]) -> bool:
    """Whether OmegaConf takes offence at a part in the same way as at the whole."""
    alone = yaml.MappingNode("tag:yaml.org,2002:map", [(yaml.ScalarNode("tag:yaml.org,2002:str", "part"), part)])
    try:
        OmegaConf.create(yaml.serialize(alone, Dumper=yaml.SafeDumper))
    except kind:
        return True
    except Exception:
        return False
    return False
