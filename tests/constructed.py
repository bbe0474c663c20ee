"""Results made up for tests of what stores and shows them: no gradient is computed here."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gradcheck.columns import parquet
from gradcheck.columns.weights import ERRORS, CellRows
from gradcheck.errors import Meaningless
from gradcheck.experiment.results.plan import Planned
from gradcheck.experiment.results.rows import CELLS, cell_row
from gradcheck.experiment.results.writer import Writer

EPS = (1e-4, 1e-5, 1e-6, "auto")


@dataclass
class Result:
    weights: dict[str, Any]
    summary: dict[str, Any]
    rounding: Any = None


def planned(i: int, bug: str = "none", model: str = "logistic") -> Planned:
    """Cell i of a grid over four eps and as many seeds as it takes."""
    config = {
        "model": {"name": model, "l2": 0.0, "bias": True},
        "data": {"source": "gaussian", "n": 100, "d": 5, "seed": i // 4},
        "init": {"name": "normal", "seed": i // 4, "scale": 1.0},
        "bug": {"name": bug, "magnitude": None if bug == "none" else 2.0},
        "eps": EPS[i % 4],
        "scheme": "central",
        "dtype": "float64",
        "match_at": 1e-2,
        "accept": 0.0,
        "min_judged": 0.9,
    }
    identity = hashlib.sha256(f"{i} {bug} {model}".encode()).hexdigest()[:16]
    return Planned(identity, config)


def result(i: int, n_weights: int = 6, verdict: str = "match", bug: str = "none") -> Result:
    """Weights that look like those of a check; analytic is twice numeric where the verdict is ``mismatch``."""
    shared, own = np.random.default_rng(i // 4), np.random.default_rng([i, 1])
    correct, weight = shared.normal(size=n_weights), shared.normal(size=n_weights)
    analytic = correct * (2.0 if verdict == "mismatch" else 1.0)
    numeric = correct + 1e-9 * own.normal(size=n_weights)
    truncation, roundoff = 1e-10 * np.abs(own.normal(size=n_weights)), 1e-8 * (1 + np.abs(own.normal(size=n_weights)))
    bound, abs_err = truncation + roundoff, np.abs(analytic - numeric)
    rel_err = abs_err / np.maximum(1e-8, np.abs(analytic) + np.abs(numeric))
    resolution = 2 * bound / np.maximum(np.abs(analytic), np.abs(numeric))
    worst = int(np.argmax(rel_err))
    counts = {f"n_{name}": n_weights * (name == verdict) for name in VERDICTS}
    weights = {
        "param": ["W"] * (n_weights - 1) + ["b"],
        "position": [[k, 0] for k in range(n_weights - 1)] + [[0]],
        "flat_index": np.arange(n_weights),
        "weight": weight,
        "step": np.full(n_weights, 1e-6),
        "analytic": analytic,
        "numeric": numeric,
        "correct": correct,
        "abs_err": abs_err,
        "rel_err": rel_err,
        "truncation": truncation,
        "roundoff": roundoff,
        "bound": bound,
        "resolution": resolution,
        "step_rule": ["auto" if EPS[i % 4] == "auto" else "fixed"] * n_weights,
        "verdict": [verdict] * n_weights,
        "reason": [None if verdict in ("match", "mismatch") else "noise"] * n_weights,
    }
    norms = np.linalg.norm(analytic) + np.linalg.norm(numeric)
    summary = {
        "n_weights": n_weights,
        "loss": 0.5,
        "max_rel_err": float(rel_err.max()),
        "median_rel_err": float(np.median(rel_err)),
        "norm_difference": float(np.linalg.norm(analytic - numeric) / norms),
        "max_resolution": float(resolution.max()),
        "median_resolution": float(np.median(resolution)),
        "worst_param": weights["param"][worst],
        "worst_flat_index": worst,
        **counts,
        "n_exempt": 0,
        "n_judged": n_weights * (verdict in ("match", "mismatch")),
        "n_missed": 0,
        "verdict": verdict,
        "ok": verdict == "match",
        "diagnosis": "analytic is 2 x numeric" if verdict == "mismatch" else None,
        "diagnosis_kind": "scale" if verdict == "mismatch" else None,
        "bug_injected": bug != "none",
        "n_evals": 2 * n_weights,
        "data_n": 100,
        "data_d": 5,
    }
    return Result(weights, summary)


VERDICTS = ("match", "mismatch", "inconclusive", "nondifferentiable")


def rows(i: int, verdict: str = "match", bug: str = "none", n_weights: int = 6) -> CellRows:
    """What is stored of cell i."""
    return cell_row(planned(i, bug), result(i, n_weights, verdict, bug), 0.01)


def part(run: Path, folder: str, number: int = 1) -> Path:
    """A part of a run."""
    (found,) = (run / folder).glob(f"part-{number:05d}*.parquet")
    return found


def rewrite(path: Path, table: pa.Table, target: Path | None = None) -> Path:
    """Put other rows into a part as a writer of ours would: under the name that they give, nothing being damaged.

    target : another folder to put it into.
    """
    known = pq.read_metadata(path).metadata or {}
    footer = {key: value for key, value in known.items() if key == parquet.DIGEST_OF_ERRORS}
    aside = (target or path.parent) / "aside"
    with aside.open("wb") as file:
        digest = parquet.fill([table], table.schema, [], footer)(file)
    if target is None:
        path.unlink()
    return aside.rename(aside.with_name(re.sub("-[0-9a-f]{16}", f"-{digest}", path.name)))


# --------------------------------------------------------------------------------------------------------- whole runs


def one_cell(folder: Path) -> None:
    with Writer(folder, {}) as writer:
        writer.add(rows(0))


def nothing(folder: Path) -> None:
    with Writer(folder, {}):
        pass


def failures_only(folder: Path) -> None:
    with Writer(folder, {}) as writer:
        writer.add(cell_row(planned(0), ValueError("the loss is nan"), 0.0))


def skipped_only(folder: Path) -> None:
    with Writer(folder, {}) as writer:
        writer.add(cell_row(planned(0, "dropped_bias"), Meaningless("bug=dropped_bias: no bias here"), 0.0))


EVIL_NAMES = (
    "<script>window.owned=1</script>",
    "</script><script>window.owned=1</script>",
    "<img src=x onerror=window.owned=1>",
    "{{script}} & &lt;b&gt; <!-- ",
    "javascript:window.owned=1",
)


def hostile_run(folder: Path) -> None:
    """A record in which every text tries to act on a page."""
    everywhere = "".join(EVIL_NAMES) + "\u2028\u2029'\"];window.owned=1//"
    stamp = {"gradcheck": everywhere, "git": {"commit": everywhere}, everywhere: everywhere, "overrides": EVIL_NAMES}
    with Writer(folder, stamp) as writer:
        for i, name in enumerate(EVIL_NAMES):
            evil = result(i, verdict="mismatch", bug="scale")
            evil.weights["param"] = [everywhere] * 6
            evil.summary |= dict.fromkeys(("worst_param", "diagnosis", "diagnosis_kind"), everywhere)
            odd = planned(i, name, model=name)
            odd.config |= {"scheme": name, "dtype": name}
            writer.add(cell_row(odd, evil, 0.0))
            writer.add(cell_row(planned(i, everywhere), ValueError(everywhere), 0.0))


AXES_OF_MANY = {
    "dtype": ["float32", "float64"],
    "scheme": ["central", "forward", "five_point"],
    "model": ["logistic", "mlp"],
}


def large_run(folder: Path, n_cells: int, several_axes: bool = False) -> None:
    """Many cells of two weights, written as tables.

    several_axes : whether dtype, scheme and model differ as well.
    """
    bugs, steps = [f"bug_{k:02d}" for k in range(24)] + ["none"], [None, *(10.0**-k for k in range(1, 13))]
    rng = np.random.default_rng(0)
    k = np.arange(n_cells)
    bug = np.array(bugs)[k % len(bugs)]
    caught = (rng.random(n_cells) < 0.8) & (bug != "none")
    config = planned(0).config
    text = {"model": "logistic", "data": "gaussian", "init": "normal", "scheme": "central", "dtype": "float64"}
    columns: dict[str, Any] = {
        **{name: [value] * n_cells for name, value in text.items()},
        **({name: rng.choice(values, n_cells) for name, values in AXES_OF_MANY.items()} if several_axes else {}),
        "cell": [f"{i:016x}" for i in k],
        "bug": bug,
        "eps": np.array(steps, dtype=object)[k // len(bugs) % len(steps)],
        "init_seed": k // (len(bugs) * len(steps)),
        "verdict": np.where(caught, "mismatch", "match"),
    }
    real = {f.name for f in ERRORS if f.type == pa.float64()} | {f.name for f in CELLS if f.type == pa.float64()}
    error = 10 ** np.where(caught, rng.uniform(-4, 0, n_cells), rng.uniform(-12, -6, n_cells))
    own = columns | {
        "status": ["ok"] * n_cells,
        "n_weights": [2] * n_cells,
        "bug_injected": bug != "none",
        **dict.fromkeys(("max_rel_err", "median_rel_err", "median_resolution", "max_resolution"), error),
        **{f.name: rng.random(n_cells) < 0.5 for f in CELLS if f.name.startswith("rule_")},
        "diagnosis": np.where(caught, "every entry of analytic is 2 x numeric: look for a factor", None),
        "worst_param": ["W"] * n_cells,
        "worst_flat_index": rng.integers(0, 2, n_cells),
        "config": [json.dumps(config)] * n_cells,
    }
    for name, schema, rows_, repeat in (("cells", CELLS, own, 1), ("errors", ERRORS, columns, 2)):
        table = {key: np.repeat(np.asarray(value), repeat) for key, value in rows_.items()}
        if repeat > 1:
            size = n_cells * repeat
            table |= {key: rng.uniform(0, 1, size) for key in real if key in schema.names and key not in table}
            table |= {"rel_err": np.repeat(error, repeat), "flat_index": np.tile(np.arange(repeat), n_cells)}
            table |= {"param": ["W"] * size, "position": [[0, 0], [1, 0]] * n_cells}
        arrays = [
            pa.array(table[f.name], f.type, from_pandas=True) if f.name in table else pa.nulls(n_cells * repeat, f.type)
            for f in schema
        ]
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.table(arrays, schema=schema), folder / name / "part-00000.parquet")
