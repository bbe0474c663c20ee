"""``python -m tests.trials [NAME ...]``: each trial as a row of a table; exit status 1 where one fails.

``python -m tests.trials identical OLD NEW``: two checkouts store the same numbers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import (
    adjoints,
    configs,
    corpus,
    crash,
    damages,
    death,
    diagnoses,
    dialects,
    files,
    flips,
    fuzz,
    hessians,
    hostile,
    interpolations,
    kills,
    layers,
    load,
    model_steps,
    overrides,
    pairs,
    secrets,
    sequences,
    steps,
    walls,
)


def killed(engine: str) -> Callable[[argparse.Namespace, Path], str]:
    def trial(given: argparse.Namespace, folder: Path) -> str:
        found = kills.trial(engine, given.kills, folder, cells=80 * given.kills, longest=8.0)
        return (
            f"{found['kills']} kills, {found['cells']} cells: rows identical; {found['looks']} looks of a reader, all"
            f" readable; at most {found['worst']:.1f} s of finished work lost"
        )

    return trial


def worker_killed(given: argparse.Namespace, folder: Path) -> str:
    return death.trial(folder, given.cells)


def hostile_records(given: argparse.Namespace, folder: Path) -> str:
    attempts, statuses, wrong = hostile.trial(folder)
    if wrong:
        raise kills.Failure("; ".join(wrong[:5]))
    counts = ", ".join(f"{n} x {status}" for status, n in sorted(statuses.items()))
    return (
        f"{len(hostile.RECORDS)} records, {attempts} attempts, exit status {counts}: nothing executed, read or written"
    )


def random_overrides(given: argparse.Namespace, folder: Path) -> str:
    return overrides.trial(folder, given.sets, given.processes)


def damaged_configs(given: argparse.Namespace, folder: Path) -> str:
    return configs.trial(folder, given.files)


def random_interpolations(given: argparse.Namespace, folder: Path) -> str:
    return interpolations.trial(folder, given.sets)


def random_pairs(given: argparse.Namespace, folder: Path) -> str:
    return pairs.trial(folder, given.grids)


def random_differences(given: argparse.Namespace, folder: Path) -> str:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a module of the tests makes up its runs
    from . import differences

    return differences.trial(folder, given.pairs)


def secret_uris(given: argparse.Namespace, folder: Path) -> str:
    return secrets.trial(folder, given.uris)


def fuzzing(given: argparse.Namespace, folder: Path) -> str:
    return fuzz.trial(folder, given.minutes)


def loaded(given: argparse.Namespace, folder: Path) -> str:
    return load.trial(folder, given.runs, given.load, given.tests)


def random_flips(given: argparse.Namespace, folder: Path) -> str:
    return flips.trial(folder, given.flips)


def random_damages(given: argparse.Namespace, folder: Path) -> str:
    return damages.trial(folder, given.damages)


def crashes(given: argparse.Namespace, folder: Path) -> str:
    return crash.trial(folder, given.crashes)


def planted_diagnoses(given: argparse.Namespace, folder: Path) -> str:
    return diagnoses.trial(folder, given.gradients)


def reported_mistakes(given: argparse.Namespace, folder: Path) -> str:
    return corpus.trial(given.seeds)


def random_adjoints(given: argparse.Namespace, folder: Path) -> str:
    return adjoints.trial(given.operators)


def random_hessians(given: argparse.Namespace, folder: Path) -> str:
    return hessians.trial(given.entries)


def random_walls(given: argparse.Namespace, folder: Path) -> str:
    return walls.trial(given.walls)


def shipped_files(given: argparse.Namespace, folder: Path) -> str:
    return files.trial(folder)


def random_dialects(given: argparse.Namespace, folder: Path) -> str:
    return dialects.trial(folder, given.tables)


def wrong_steps(given: argparse.Namespace, folder: Path) -> str:
    return steps.trial(given.nets)


def wrong_layers(given: argparse.Namespace, folder: Path) -> str:
    return model_steps.trial(given.nets)


def random_layers(given: argparse.Namespace, folder: Path) -> str:
    return layers.trial(10 * given.nets)


def nets_of_sequences(given: argparse.Namespace, folder: Path) -> str:
    return sequences.trial(given.nets)


TRIALS: dict[str, Callable[[argparse.Namespace, Path], str]] = {
    "kills-serial": killed("serial"),
    "kills-loky": killed("loky"),
    "kills-dask": killed("dask"),
    "worker": worker_killed,
    "flips": random_flips,
    "damages": random_damages,
    "crash": crashes,
    "hostile": hostile_records,
    "overrides": random_overrides,
    "configs": damaged_configs,
    "interpolations": random_interpolations,
    "pairs": random_pairs,
    "differences": random_differences,
    "secrets": secret_uris,
    "fuzz": fuzzing,
    "diagnoses": planted_diagnoses,
    "sequences": nets_of_sequences,
    "corpus": reported_mistakes,
    "steps": wrong_steps,
    "model-steps": wrong_layers,
    "layers": random_layers,
    "load": loaded,
    "files": shipped_files,
    "dialects": random_dialects,
    "adjoint": random_adjoints,
    "hessians": random_hessians,
    "walls": random_walls,
}


def main() -> int:
    """Run the trials and print; returns the exit status."""
    if sys.argv[1:2] == ["identical"]:
        from . import identical  # it compares what it is given, and is no row of the table

        return identical.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m tests.trials", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which trials (all unless named)")
    parser.add_argument("--kills", type=int, default=100, help="of each engine (default %(default)s)")
    parser.add_argument("--cells", type=int, default=10_000, help="where a worker is killed (default %(default)s)")
    parser.add_argument("--flips", type=int, default=10_000, help="of single bits (default %(default)s)")
    parser.add_argument("--damages", type=int, default=200, help="of parts (default %(default)s)")
    parser.add_argument("--crashes", type=int, default=50, help="right after saved (default %(default)s)")
    parser.add_argument("--sets", type=int, default=10_000, help="of overrides (default %(default)s)")
    parser.add_argument("--processes", type=int, default=200, help="of these in processes (default %(default)s)")
    parser.add_argument("--grids", type=int, default=1_000, help="with paired axes (default %(default)s)")
    parser.add_argument("--pairs", type=int, default=1_000, help="of runs (default %(default)s)")
    parser.add_argument("--files", type=int, default=1000, help="of damaged configs (default %(default)s)")
    parser.add_argument("--uris", type=int, default=200, help="with secrets (default %(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of fuzzing (default %(default)s)")
    parser.add_argument("--gradients", type=int, default=2000, help="of each kind of mistake (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=50, help="of each public report (default %(default)s)")
    parser.add_argument("--operators", type=int, default=10_000, help="with their adjoints (default %(default)s)")
    parser.add_argument("--entries", type=int, default=100_000, help="of Hessians (default %(default)s)")
    parser.add_argument("--walls", type=int, default=300, help="functions of each kind (default %(default)s)")
    parser.add_argument("--tables", type=int, default=10_000, help="in random dialects (default %(default)s)")
    parser.add_argument("--nets", type=int, default=10, help="with each mistake of a layer (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of the tests under load (default %(default)s)")
    parser.add_argument("--load", type=int, default=4, help="busy processes a core (default %(default)s)")
    parser.add_argument("--tests", nargs="+", default=[], help="what of the tests runs under load (default: all)")
    parser.epilog = f"NAME: {', '.join(TRIALS)}"
    given = parser.parse_args()
    if unknown := set(given.names) - set(TRIALS):
        parser.error(f"{' '.join(sorted(unknown))}: must be of {' '.join(TRIALS)}")
    good = True
    print("| trial | result | date |\n| --- | --- | --- |", flush=True)
    for name in given.names or TRIALS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = TRIALS[name](given, Path(folder))
            except kills.Failure as error:
                result, good = f"**FAILED**: {' '.join(str(error).split())}", False
        print(f"| {name} | {result} | {time.strftime('%d %B %Y').lstrip('0')} |", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
