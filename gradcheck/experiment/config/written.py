"""Where a key of a config is written: in which file of the user's, and in which line of it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

import yaml

GLOBAL = "# @package _global_"  # begins a file whose keys are those of the whole config
BOM = "\ufeff"


@dataclass(frozen=True)
class Place:
    """A line of a config file, as an error names it, and the value that begins there."""

    file: str
    line: int
    value: yaml.Node | None = None

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class ConfigFile:
    """A config file, under the name that Hydra has for it, such as ``experiment/mine``."""

    name: str
    path: str

    @property
    def shown(self) -> str:
        """The path as it can be typed in the current folder."""
        near = os.path.relpath(self.path)
        return self.path if near.startswith(os.pardir) else near

    @cached_property
    def text(self) -> str:
        """The content; empty where it cannot be read, which was said when Hydra tried."""
        try:
            with open(self.path, encoding="utf-8") as file:
                return file.read()
        except (OSError, UnicodeDecodeError):
            return ""

    @cached_property
    def header(self) -> str | None:
        """What the line ``# @package`` says, as Hydra reads it."""
        for line in filter(None, map(str.strip, self.text.splitlines())):
            words = line.lstrip("#").split()
            if not line.startswith("#") or not words or not words[0].startswith("@"):
                return None
            if words[0] == "@package":
                return words[1] if len(words) > 1 else None
        return None

    @property
    def package(self) -> str:
        """Below which key the keys of the file are set; empty for the whole config."""
        group = os.path.dirname(self.name).replace("/", ".")
        named = {None: group, "_group_": group, "_global_": "", "_name_": os.path.basename(self.name)}
        return named.get(self.header, self.header or "")

    @cached_property
    def places(self) -> dict[str, Place]:
        """The line of every key, by its full name."""
        return dict(self._walk(self._root, self.package))

    @cached_property
    def defaults(self) -> list[tuple[str, str, Place]]:
        """The entries of the defaults list: the group without its signs, the entry as it is written, its line."""
        found = []
        root = self._root
        lists = [value for key, value in root.value if key.value == "defaults"] if _is_mapping(root) else []
        for item in (item for one in lists if isinstance(one, yaml.SequenceNode) for item in one.value):
            place = Place(self.shown, item.start_mark.line + 1)
            if isinstance(item, yaml.ScalarNode):
                found.append(("", str(item.value), place))
            elif isinstance(item, yaml.MappingNode):
                for name, choice in item.value:
                    group = ["", *str(name.value).split()]
                    found.append((group[-1].lstrip("/").partition("@")[0], f"{name.value}: {choice.value}", place))
        return found

    def misfit(self, sections: Collection[str]) -> str | None:
        """A key that must hold a mapping and does not, with its place."""
        for key, place in self.places.items():
            if key in sections and place.value is not None and not _is_mapping(place.value):
                return f"{place}: {key}: must be a mapping, such as {{key: value}}"
        return None

    @cached_property
    def _root(self) -> yaml.Node | None:
        try:
            found: yaml.Node | None = yaml.compose(self.text, Loader=yaml.SafeLoader)
            return found
        except (yaml.YAMLError, RecursionError):
            return None

    def _walk(self, node: yaml.Node | None, full: str) -> Iterator[tuple[str, Place]]:
        children: list[tuple[str, int, yaml.Node]] = []
        if isinstance(node, yaml.ScalarNode) and full == self.package:  # OmegaConf reads a lone word as a key
            yield f"{full}.{node.value}".lstrip("."), Place(self.shown, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            children = [
                (f"{full}.{_name(key)}".lstrip("."), key.start_mark.line, value)
                for key, value in node.value
                if isinstance(key, yaml.ScalarNode)
            ]
        elif isinstance(node, yaml.SequenceNode):
            children = [(f"{full}[{i}]", item.start_mark.line, item) for i, item in enumerate(node.value)]
        for name, line, child in children:
            yield name, Place(self.shown, line + 1, child)
            yield from self._walk(child, name)


def _name(key: yaml.ScalarNode) -> str:
    """A key as a config has it: yes, on and true are True."""
    truth = yaml.SafeLoader.bool_values.get(key.value.lower()) if key.tag == "tag:yaml.org,2002:bool" else None
    return str(key.value if truth is None else truth)


def _is_mapping(node: yaml.Node | None) -> TypeGuard[yaml.MappingNode]:
    return isinstance(node, yaml.MappingNode)


@dataclass(frozen=True)
class Files:
    """The config files that a user brought along, in the order in which they were read."""

    found: Sequence[ConfigFile] = ()

    def of_key(self, key: str) -> Place | None:
        """Where a key is written last, also among the parameters of Hydra's sweeper."""
        for file in reversed(self.found):
            for full in (key, f"hydra.sweeper.params.{key}", key.lower()):
                if full in file.places:
                    return file.places[full]
        return None

    def of_choice(self, group: str, name: str | None = None) -> tuple[str, Place] | None:
        """The entry of a defaults list that chooses from a group (this config of it), as it is written, and where."""
        for file in reversed(self.found):
            inside = os.path.dirname(file.name)
            for chosen, entry, place in file.defaults:
                for full in (chosen, f"{inside}/{chosen}"):
                    if (chosen == "" and f"{group}/{name}" in (entry, f"{inside}/{entry}")) or (
                        group == full if name is None else f"{group}/{name}" == f"{full}/{entry.partition(': ')[2]}"
                    ):
                        return entry, place
        return None

    def holding(self, text: str) -> tuple[str, Place] | None:
        """A key whose value holds a text, such as ``${oc.env:HOME``, with the value, and where."""
        for file in reversed(self.found):
            for key, place in file.places.items():
                if isinstance(place.value, yaml.ScalarNode) and text in place.value.value:
                    return f"{key}={place.value.value}", place
        return None

    def below(self, key: str) -> ConfigFile | None:
        """The file all of whose keys are set below a key."""
        return next((file for file in reversed(self.found) if file.package == key), None)

    def named(self, name: str) -> ConfigFile | None:
        """The file that Hydra calls so."""
        return next((file for file in reversed(self.found) if file.name == name), None)

    def beginning(self, message: str) -> Place | None:
        """Where the key with which a message begins is written, whatever signs it has."""
        found = {key.removeprefix("hydra.sweeper.params."): key for file in self.found for key in file.places}
        told = {" ".join(key.split()): full for key, full in found.items()}
        keys = [key for words, key in told.items() if message.startswith((f"{words}=", f"{words}: "))]
        return self.of_key(max(keys, key=len)) if keys else None

    def placed(self, message: str, sections: Collection[str] = ()) -> str:
        """A message that names a file as Hydra does, with the line of what it mentions; as it is where it has its place.

        sections : keys that hold mappings.
        """
        if self.names(message):
            return message
        whole = {word.strip("'\",.:()") for word in message.split()}
        for file in reversed(self.found):
            if file.name in whole:
                entries = [place for _, entry, place in file.defaults if set(entry.split()) & (whole - {"override"})]
                if entries or (misfit := file.misfit(sections)) is None:
                    return f"{entries[-1] if entries else Place(file.shown, 1)}: {message}"
                return f"{misfit}; {message}"
        for file in reversed(self.found):
            for place in file.places.values():
                if (
                    isinstance(place.value, yaml.ScalarNode)
                    and place.value.value
                    and message.endswith(place.value.value)
                ):
                    return f"{place}: {message}"
        misfits = (file.misfit(sections) for file in reversed(self.found))
        return next((f"{misfit}; {message}" for misfit in misfits if misfit), message)

    def names(self, message: str) -> bool:
        """Whether a message begins with one of the files."""
        return any(message.startswith(file.shown) for file in self.found)
