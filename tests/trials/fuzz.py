"""Fuzzing of everything that reads a record: whatever the bytes are, it is read or refused with BadInput.

``target`` takes bytes and is all there is to it; atheris finds bytes that reach new lines of the package, from records and
texts that are right and from what it found before.  ``python fuzz.py FOLDER SECONDS`` is the process that it runs in.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

FORM = {
    "model": {"name": "logistic", "bias": True, "l2": 0.0},
    "data": {"source": "gaussian", "n": 20, "d": 2, "seed": 0},
    "init": {"name": "normal", "seed": 0, "scale": 1.0},
    "bug": {"name": "none"},
    "eps": 1e-5,
    "scheme": "central",
    "dtype": "float64",
    "match_at": 0.01,
}


@cache
def room() -> Path:
    """A run of one cell, in a folder that is this process's own."""
    import pyarrow.parquet as pq

    from gradcheck.experiment.config import identity
    from gradcheck.experiment.config.form import canonical
    from gradcheck.experiment.engines.cells import compute
    from gradcheck.experiment.grid.record import write_plan
    from gradcheck.experiment.results.plan import Plan, Planned
    from gradcheck.experiment.results.rows import cell_row
    from gradcheck.experiment.results.writer import Writer

    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    form = canonical(FORM)
    job = Planned(identity.cell_id(form), form, {"bug.magnitude": 1.0})
    with Writer(folder, {"gradcheck": "0"}) as writer:
        writer.add(cell_row(job, compute(form), 0.0))
    write_plan(folder, Plan([job]), ["eps=1e-5"])
    for path in list(folder.rglob("part-*")):  # without checksums, which would keep all that is changed from being read
        table = pq.read_table(path)
        path.unlink()
        pq.write_table(table, path.with_name(re.sub("-[0-9a-f]{16}", "", path.name)))
    return folder


@cache
def originals() -> dict[str, bytes]:
    """The files of the run by their names."""
    return {str(path.relative_to(room())): path.read_bytes() for path in sorted(room().rglob("*.parquet"))}


def _restore() -> None:
    for path in room().rglob("*.parquet"):
        if str(path.relative_to(room())) not in originals():
            path.unlink()
    for name, content in originals().items():
        (room() / name).write_bytes(content)


def _read_all() -> None:
    """Everything that looks at a run, short of computing."""
    import gradcheck
    from gradcheck.experiment.grid.record import read_plan
    from gradcheck.experiment.replay import record
    from gradcheck.experiment.replay.difference import difference
    from gradcheck.experiment.results.stored import Stored
    from gradcheck.views import difference as view
    from gradcheck.views import tables, terminal
    from gradcheck.views.as_json import as_json
    from gradcheck.views.record import Record

    run = room()
    for reader in (
        lambda: terminal.show(tables.overview(Record(run), short=True), _Screen()),
        lambda: as_json(Record(run), None, ("model", "bug", "eps")),
        lambda: list(Stored(run).statuses()),
        lambda: Stored(run).provenance,
        lambda: [record.recorded_config(row) for row in Stored(run).cell_rows(["cell", "config"])],
        lambda: len(gradcheck.load(run).cells),
        lambda: terminal.show(view.report(difference(run, run, 100), ("run", "run")), _Screen()),
        lambda: read_plan(run),
    ):
        _refused_or_read(reader)


class _Screen(io.StringIO):
    """A terminal that no character acts on."""

    def write(self, text: str) -> int:
        assert not any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 for c in text), repr(text)
        return len(text)


def _refused_or_read(reader: Callable[[], Any]) -> None:
    from gradcheck.errors import BadInput

    try:
        reader()
    except BadInput:
        pass


def damaged(data: bytes) -> None:
    """A file of the run with some bytes changed: pairs of a place and a value."""
    names = list(originals())
    name = names[data[0] % len(names)] if data else names[0]
    content = bytearray(originals()[name])
    for i in range(1, len(data) - 2, 3):
        content[int.from_bytes(data[i : i + 2], "little") % len(content)] = data[i + 2]
    (room() / name).write_bytes(bytes(content))
    _read_all()


def other_file(data: bytes) -> None:
    """Any bytes in the place of a file."""
    names = list(originals())
    (room() / names[len(data) % len(names)]).write_bytes(data)
    _read_all()


def config_text(data: bytes) -> None:
    """Any text as a recorded config."""
    from gradcheck.experiment.replay import record

    text = data.decode("utf-8", "surrogateescape")
    _refused_or_read(lambda: record.recorded_config({"cell": "x", "config": text}))


def config_value(data: bytes) -> None:
    """A right config with some values replaced by any JSON, in cells and in the plan."""
    form = json.loads(json.dumps(FORM))
    for piece in data.split(b"\0")[:4]:
        place, _, value = piece.decode("utf-8", "replace").partition("=")
        section, _, key = place.partition(".")
        try:
            new = json.loads(value)
        except (ValueError, RecursionError):
            new = value
        if key and isinstance(form.get(section), dict):
            form[section][key] = new
        else:
            form[section] = new
    text = json.dumps(form)
    config_text(text.encode())
    _plan(text, "{}", None, b"[]")


def plan_texts(data: bytes) -> None:
    """Any texts in the columns of a plan."""
    texts = [piece.decode("utf-8", "replace") for piece in data.split(b"\0")] + ["", "{}", "", "[]"]
    _plan(texts[0] or json.dumps(FORM), texts[1], texts[2] or None, texts[3].encode())


def _plan(config: str, swept: str, skip: str | None, overrides: bytes) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gradcheck.experiment.grid.record import read_plan

    table = pa.table({"cell": ["0" * 16], "config": [config], "swept": [swept], "skip": pa.array([skip], pa.string())})
    pq.write_table(table.replace_schema_metadata({b"gradcheck.overrides": overrides}), room() / "plan.parquet")
    _refused_or_read(lambda: read_plan(room()))


def texts_of_cells(data: bytes) -> None:
    """Any text in a column of text, and in the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = next(name for name in originals() if name.startswith("cells") and "00001" in name)
    table = pq.read_table(io.BytesIO(originals()[name]))
    columns = [f.name for f in table.schema if f.type == pa.string()]
    column = columns[data[0] % len(columns)] if data else columns[0]
    value = data[1:].decode("utf-8", "replace")
    table = table.set_column(table.schema.get_field_index(column), column, pa.array([value] * table.num_rows))
    if data and data[0] & 128:
        table = table.replace_schema_metadata({b"gradcheck.provenance": data[1:]})
    pq.write_table(table, room() / name)
    _read_all()


TARGETS: tuple[Callable[[bytes], None], ...] = (
    damaged,
    other_file,
    config_text,
    config_value,
    config_value,
    plan_texts,
    texts_of_cells,
)


def target(data: bytes) -> None:
    """Whatever the bytes are, no exception but BadInput comes out of what reads a record."""
    _restore()
    TARGETS[data[0] % len(TARGETS) if data else 0](data[1:])


def seeds() -> list[bytes]:
    """Inputs that are right, or nearly."""
    text = json.dumps(FORM).encode()
    made = [bytes([1]) + content for content in originals().values()]
    made += [bytes([2]) + text, bytes([5]) + text + b'\0{}\0no meaning\0["eps=1"]', bytes([6, 3]) + b"logistic"]
    values = ("eps=[1e-4]", "model.l2=-1", 'data.source="file"\0data.path="x.csv"', 'model={"name":"function"}')
    made += [bytes([3]) + value.encode() for value in values]
    made += [bytes([0, i, 4, 0, 255]) for i in range(len(originals()))]
    made += [bytes([6, 128]) + b'{"schema_version": 1, "packages": {"numpy": "2"}}']
    return made


def trial(folder: Path, minutes: float) -> str:
    """Fuzz for so long in a process of its own; returns the figures in words.  Raises Failure."""
    from .kills import Failure

    corpus = folder / "corpus"
    corpus.mkdir()
    for i, data in enumerate(seeds()):
        (corpus / f"seed-{i}").write_bytes(data)
    tests = Path(__file__).resolve().parent.parent
    path = os.pathsep.join([str(tests.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, __file__, str(corpus), f"-max_total_time={minutes * 60:.0f}", "-timeout=30", "-rss_limit_mb=3000",
         "-max_len=20000", f"-artifact_prefix={folder}/", "-print_final_stats=1"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
    )  # fmt: skip
    runs = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    if done.returncode or not runs:
        found = [f"{p.name}: {p.read_bytes()[:200]!r}" for p in folder.glob("*-*") if p.is_file()]
        raise Failure(f"{done.stderr[-3000:]} {found}")
    return f"{minutes:g} minutes, {int(runs[0]):,} inputs, {len(list(corpus.iterdir())):,} of them reached new lines"


if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["gradcheck"]):
        import gradcheck.experiment.grid.sweep  # noqa: F401
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
