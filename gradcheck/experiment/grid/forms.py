"""Canonical configs of a grid, whose cells share most of their sections, and why some of them have no meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

from gradcheck.errors import Meaningless
from gradcheck.experiment.cell import refuse, refuse_at
from gradcheck.experiment.config.build import assemble
from gradcheck.experiment.config.canonical import Form, section_of
from gradcheck.experiment.config.form import canonical_section, canonical_value, from_x0, is_function
from gradcheck.experiment.config.identity import Text, identity, of_texts, own_text, section_text, value_text
from gradcheck.experiment.config.schema import PLAIN, TABLES, build_section
from gradcheck.experiment.footprint import require_memory
from gradcheck.experiment.grid.recent import Recent
from gradcheck.experiment.results.plan import Ids, Planned
from gradcheck.models.interfaces import Section

_NO_MEANING = ("eps", "match_at", "accept", "min_judged")  # whatever their values are, a cell has a meaning or not
_FILES = attrgetter("files")
_DRAWN = ("normal", "zeros", "optimum")  # parameters that fit whatever the data are


class Forms:
    """Makes cells of configs.  What several cells share is made once.

    notes : what the user should know of the files, in the order in which it is found.
    thoroughly : draw generated data, too, to see whether a cell has a meaning.
    """

    def __init__(self, allow: Sequence[str], max_memory: float, notes: dict[str, None], thoroughly: bool) -> None:
        self._allow, self._max_memory, self._notes, self._thoroughly = allow, max_memory, notes, thoroughly
        self._sections: Recent[tuple[str, str], tuple[Form, Text]] = Recent()
        self._values: Recent[tuple[str, str], tuple[object, Text]] = Recent()
        # of the last config, by key in the order of an id: what was given, its place in the caches, what was made of it, and
        # what that adds to the id.  Neighbours differ in a key or two.
        self._names = tuple(sorted((*TABLES, *PLAIN)))
        self._given: dict[str, object] = {}
        self._keys: dict[str, tuple[str, str]] = {}
        self._form: Form = dict.fromkeys(self._names)
        self._texts: dict[str, Text] = {}
        self._own = dict.fromkeys(self._names, "")
        self._whole: dict[str, str] = {}
        self._skip: str | None = None
        self._valid: Recent[tuple[str, str], Section] = Recent()
        self._combined: Recent[tuple[object, ...], str | None] = Recent()
        self._examined: Recent[tuple[object, ...], str | None] = Recent()
        self._skips: Recent[tuple[object, ...], str | None] = Recent()

    def planned(self, science: Mapping[str, object], known: Ids) -> Planned | None:
        """The cell of a config with one ``eps``; None where its id is known already."""
        found: Planned | None = None
        try:
            found = self._planned(science, known)
        finally:
            if found is None:  # not all is known of this config: the next one is compared with none
                self._given.clear()
        return found

    def _planned(self, science: Mapping[str, object], known: Ids) -> Planned | None:
        same_meaning = self._take(science)
        form, texts = self._form.copy(), self._texts
        function = is_function(form)
        if function:
            form = from_x0(form)
            texts = texts | {s: section_text(s, section_of(form, s), self._allow) for s in TABLES}
        # where there are files, their content stands in the text in place of their names
        files = any(map(_FILES, texts.values()))
        cell = identity(texts) if files or function else of_texts(self._own.values())
        if cell in known:
            return None
        if not same_meaning:
            shared = (*[self._keys[section] for section in TABLES], form["scheme"], form["dtype"])
            self._skip = self._skips.get_or(shared, self._why_skipped, form, self._keys)
        recorded = {name: text.whole for name, text in texts.items()} if function else self._whole.copy()
        return Planned(cell, form, {}, self._skip, {} if files else recorded)

    def _take(self, science: Mapping[str, object]) -> bool:
        """Put a config in the place of the last one.  Whether it has the same meaning, as neighbours with other steps have."""
        same = True
        for name in self._names:
            value = science.get(name)
            if name in self._given and self._given[name] is value:
                continue
            same = same and name in _NO_MEANING
            key = name, repr(value)
            if name in TABLES:
                made: tuple[object, Text] = self._sections.get_or(key, self._section, name, value)
            else:
                made = self._values.get_or(key, _value_and_text, name, value)
            self._form[name], text = made
            self._keys[name], self._texts[name], self._own[name] = key, text, own_text(name, text)
            self._whole[name] = text.whole
            self._given[name] = value
        return same

    def _section(self, section: str, given: object) -> tuple[Form, Text]:
        part = canonical_section(section, given)
        return part, section_text(section, part, self._allow)

    def _why_skipped(self, form: Form, keys: Mapping[str, tuple[str, str]]) -> str | None:
        """Why a cell has no meaning, as far as that is known without computing it; None where it has one.

        Files and values in the config are read once for all cells that share them; generated data only if `thoroughly`.

        Raises ValueError, naming the key, for data or parameters that cannot be used.
        """
        data, start = section_of(form, "data"), section_of(form, "init")["name"]
        init: object = start
        if is_function(form):
            init = keys["init"]
        else:
            for section in TABLES:
                self._valid.get_or(keys[section], build_section, section, section_of(form, section))
        # whether the cell has a meaning depends on all settings of the data but the seed, and on the start's name alone
        shape: object = repr({k: v for k, v in data.items() if k != "seed"}) if "seed" in data else keys["data"]
        combination = (keys["model"], keys["bug"], shape, init, form["scheme"], form["dtype"])
        why = self._combined.get_or(combination, _why_meaningless, form, self._allow, self._max_memory)
        given = data["source"] not in ("gaussian", "none") or start not in _DRAWN
        if why is not None or not (given or self._thoroughly):
            return why
        shared = (keys["model"], keys["data"], form["dtype"], start in _DRAWN or keys["init"])
        return self._examined.get_or(shared, _examine, form, self._allow, self._thoroughly, self._notes)


def _value_and_text(key: str, given: object) -> tuple[object, Text]:
    value = canonical_value(key, given)
    return value, value_text(key, value)


def _why_meaningless(form: Form, allow: Sequence[str], max_memory: float) -> str | None:
    try:
        cell = assemble(form, allow)
        refuse(cell)
        cell.bug.refuse_model(cell.model)
        require_memory(cell, max_memory)
    except Meaningless as error:
        return str(error)
    return None


def _examine(form: Form, allow: Sequence[str], thoroughly: bool, notes: dict[str, None]) -> str | None:
    cell = assemble(form, allow)
    try:
        batch = cell.data.batch(cell.model.target, cell.dtype)
        cell.model.check_batch(batch)
        notes.update(dict.fromkeys(cell.data.notes(cell.model.target)))
        layout = cell.model.layout(batch)
        theta = cell.init.theta(layout, cell.dtype)
        if thoroughly:
            cell.bug.refuse(cell.model, layout, batch)
            refuse_at(cell, theta)
    except Meaningless as error:
        return str(error)
    return None
