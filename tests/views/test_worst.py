"""The worst weight of a mismatch is one of those that mismatch, wherever a cell is spoken of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from constructed import planned, result

from gradcheck.columns.weights import CellRows, errors_tables
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.views.layout import Table
from gradcheck.views.outcomes import told
from gradcheck.views.page import Page
from gradcheck.views.record import Record
from gradcheck.views.summary import verdicts
from gradcheck.views.tables import overview
from gradcheck.views.tally import Tally
from gradcheck.views.worst import wrong_weight


def drawn(i: int, rng: np.random.Generator) -> CellRows:
    """A mismatch whose weights have random verdicts and errors, some of them no number."""
    n = int(rng.integers(2, 9))
    one = result(i, n, "mismatch")
    verdicts = rng.choice(["match", "mismatch", "inconclusive"], n)
    verdicts[int(rng.integers(n))] = "mismatch"
    rel_err = rng.choice([0.25, 0.5, 1.0, np.nan], n) * rng.choice([1.0, 0.1], n)
    one.weights |= {"verdict": verdicts.tolist(), "rel_err": rel_err}
    one.weights |= {"reason": ["noise" if verdict == "inconclusive" else None for verdict in verdicts]}
    worst = int(np.argmax(np.nan_to_num(rel_err, nan=-1.0)))
    one.summary |= {"worst_param": one.weights["param"][worst], "worst_flat_index": worst}
    one.summary |= {f"n_{name}": int((verdicts == name).sum()) for name in ("match", "mismatch", "inconclusive")}
    one.summary |= {"max_rel_err": None if np.isnan(rel_err).all() else float(np.nanmax(rel_err))}
    return cell_row(planned(i), one, 0.01)


def expected(rows: CellRows) -> tuple[str, float | None]:
    (table,) = errors_tables([rows])
    wrong = [row for row in table.to_pylist() if row["verdict"] == "mismatch"]
    sizes = [-1.0 if row["rel_err"] is None or np.isnan(row["rel_err"]) else row["rel_err"] for row in wrong]
    one = wrong[int(np.argmax(sizes))]
    return f"{one['param']}[{','.join(map(str, one['position']))}]", None if max(sizes) < 0 else max(sizes)


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_weight_of_a_mismatch_is_the_worst_of_those_that_mismatch(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    made = [drawn(i, rng) for i in range(30)]
    with Writer(tmp_path, {}) as writer:
        for rows in made:
            writer.add(rows)
    known = {str(rows.cell["cell"]): expected(rows) for rows in made}
    stored = {str(rows.cell["cell"]): rows.cell["worst_flat_index"] for rows in made}
    record = Record(tmp_path)
    found = record.worst_weights(record.cells)
    assert found == known
    assert _by_place(record, stored) != {
        cell: name for cell, (name, _) in known.items()
    }  # the stored one is another in some cells
    table = Page(record)._cell_table()
    cell, weight, error = (table["columns"].index(name) for name in ("cell", "worst_weight", "worst_rel_err"))
    assert {row[cell]: (row[weight], row[error]) for row in table["rows"]} == known
    for one in told(record):
        assert f"orst {known[one.cell][0]}, rel_err " in one.words
    for rows in made:
        assert wrong_weight(errors_tables([rows]), str(rows.cell["cell"])) == known[str(rows.cell["cell"])]
    (worst,) = [
        one for one in overview(record, every=True) if isinstance(one, Table) and one.title.startswith("mismatches")
    ]
    at = [worst.header.index(name) for name in ("cell", "worst weight")]
    assert {row[at[0]]: row[at[1]] for row in worst.rows} == {cell: name for cell, (name, _) in known.items()}
    one_by_one = Tally()
    for rows in made:
        one_by_one.add(rows.cell, (), lambda rows=rows: wrong_weight(errors_tables([rows]), str(rows.cell["cell"])))
    assert one_by_one.worst is not None
    assert one_by_one.worst_weight == known[str(one_by_one.worst["cell"])]
    assert f"worst {one_by_one.worst_weight.name}, rel_err" in "\n".join(map(str, verdicts(one_by_one)))


def _by_place(record: Record, places: dict[str, int]) -> dict[str, str]:
    named = {}
    for table in record.tables(("cell", "param", "position", "flat_index")):
        for row in table.to_pylist():
            if places[row["cell"]] == row["flat_index"]:
                named[row["cell"]] = f"{row['param']}[{','.join(map(str, row['position']))}]"
    return named
