"""Where the files lie that a record names: where it names them, or below another folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from gradcheck.columns.places import Place, inside, local
from gradcheck.errors import BadInput
from gradcheck.experiment.config.canonical import Form, section_of
from gradcheck.experiment.sources.tables import lying

_CWD = re.compile(r"^ {4}cwd: (.+)$", re.MULTILINE)
_MAX_RECORD = 1_000_000  # bytes of Hydra's own record


class Files:
    """The data and init files that recorded configs name.

    run_dir : of the record.
    allowed : folders in which they may lie.
    data_root : where they are looked for instead, by as much of their path as is there; None for no such folder.
    """

    def __init__(self, run_dir: Place, allowed: Sequence[Path], data_root: Path | None) -> None:
        if data_root is not None and not data_root.is_dir():
            raise BadInput(f"--data-root={data_root}: no such folder")
        self._run_dir, self._data_root = run_dir, data_root
        self._allowed = [folder.resolve() for folder in (*allowed, *([] if data_root is None else [data_root]))]

    def located(self, cell: str, config: Mapping[str, object]) -> Form:
        """The config of a cell with its files where they are here.

        Raises BadInput for a file that is not there, and for one outside the allowed folders.
        """
        found = dict(config)
        for section in ("data", "init"):
            part = section_of(config, section)
            if part.get("path") is not None:
                found[section] = {
                    **part,
                    "path": self._place(f"config of cell {cell}: {section}.path", str(part["path"])),
                }
        return found

    def _place(self, key: str, recorded: str) -> str:
        place = recorded if self._data_root is None else self._below(key, recorded, self._data_root)
        if not all(any(part.is_relative_to(folder) for folder in self._allowed) for part in self._lying(place)):
            raise BadInput(f"{key}={recorded} lies outside the current folder; allow it with --allow-path")
        if not local(place).exists():
            raise BadInput(f"{key}={recorded}: no such file here{self._recorded_in(recorded)}; say --data-root DIR")
        return place

    @staticmethod
    def _lying(place: str) -> list[Path]:
        try:
            return lying(local(place))
        except ValueError as error:
            raise BadInput(str(error)) from None

    def _below(self, key: str, recorded: str, root: Path) -> str:
        path = local(recorded)
        parts = path.relative_to(path.anchor).parts
        tried = [root.joinpath(*parts[i:]) for i in range(len(parts)) if ".." not in parts[i:]]
        for place in tried:
            if place.exists():
                return str(place)
        raise BadInput(f"{key}={recorded}: --data-root={root} holds neither it nor {PurePath(recorded).name}")

    def _recorded_in(self, recorded: str) -> str:
        """Where a relative path was recorded, if Hydra's record of the run says so."""
        if local(recorded).is_absolute() or not isinstance(self._run_dir, Path):
            return ""
        for name in ("multirun.yaml", ".hydra/hydra.yaml"):
            path = self._run_dir / name
            try:
                if not (path.is_file() and inside(self._run_dir, path)):
                    continue
                with path.open("rb") as file:
                    text = file.read(_MAX_RECORD).decode("utf-8", "replace")
            except OSError:
                continue
            if cwd := _CWD.search(text):
                return f"; it was recorded in {cwd[1][:300]}"
        return ""
