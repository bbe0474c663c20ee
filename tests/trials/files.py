"""Data files that packages ship, in their own form: read as pandas reads them when told how, or refused with the cure."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gradcheck.models.target import Binary, Classes, Real, Target
from tests.cures import followed
from tests.forms import FORMS, Form

from .kills import Failure

REAL, BINARY, CLASSES = Real(1), Binary(1), Classes()
BLANKS: dict[str, Any] = {"sep": r"\s+"}
PLACES: dict[str, Any] = {"header": None}


class Shipped(NamedTuple):
    """A file of a package, the column that is typed as the target, and how pandas is told to read the file."""

    package: str
    path: str
    target: str
    kind: Target = REAL
    read: Mapping[str, Any] | None = MappingProxyType({})


def _statsmodels(name: str, target: str, kind: Target = REAL, read: dict[str, Any] | None = None) -> Shipped:
    return Shipped("statsmodels", f"datasets/{name}", target, kind, read or {})


FILES = [
    Shipped("sklearn", "datasets/data/iris.csv", "virginica", CLASSES),
    Shipped("sklearn", "datasets/data/digits.csv.gz", "f64", CLASSES, PLACES),
    Shipped("sklearn", "datasets/data/diabetes_data_raw.csv.gz", "f9", REAL, BLANKS | PLACES),
    Shipped("sklearn", "datasets/data/linnerud_exercise.csv", "Jumps", REAL, BLANKS),
    Shipped("sklearn", "datasets/data/linnerud_physiological.csv", "Pulse", REAL, BLANKS),
    Shipped("sklearn", "datasets/data/wine_data.csv", "class_2", CLASSES, None),
    Shipped("sklearn", "datasets/data/breast_cancer.csv", "benign", BINARY, None),
    Shipped("sklearn", "datasets/tests/data/openml/id_561/data-v1-dl-52739.arff.gz", "class", REAL, None),
    _statsmodels("anes96/anes96.csv", "vote", BINARY, BLANKS),
    _statsmodels("cancer/cancer.csv", "population"),
    _statsmodels("ccard/ccard.csv", "OWNRENT", BINARY),
    _statsmodels("china_smoking/china_smoking.csv", "smoking_no_cancer_no"),
    _statsmodels("co2/co2.csv", "co2"),
    _statsmodels("committee/committee.csv", "BILLS103"),
    _statsmodels("committee/src/committee.dat", "BILLS103", REAL, BLANKS | {"index_col": None}),
    _statsmodels("copper/copper.csv", "TIME"),
    _statsmodels("cpunish/cpunish.csv", "DEGREE"),
    _statsmodels("cpunish/src/cpunish.dat", "GRAD/PROF", REAL, BLANKS),
    _statsmodels("danish_data/data.csv", "ide"),
    _statsmodels("elnino/elnino.csv", "DEC"),
    _statsmodels("engel/engel.csv", "foodexp"),
    _statsmodels("fair/fair.csv", "affairs"),
    _statsmodels("fair/fair_pt.csv", "naffairs"),
    _statsmodels("grunfeld/grunfeld.csv", "invest"),
    _statsmodels("heart/heart.csv", "censors", BINARY),
    _statsmodels("interest_inflation/E6_jmulti.csv", "f1", REAL, BLANKS | PLACES),
    _statsmodels("longley/longley.csv", "TOTEMP"),
    _statsmodels("macrodata/macrodata.csv", "realint"),
    _statsmodels("modechoice/modechoice.csv", "choice", BINARY, {"sep": ";"}),
    _statsmodels("nile/nile.csv", "volume"),
    _statsmodels("randhie/randhie.csv", "mdvis"),
    _statsmodels("scotland/scotvote.csv", "YES"),
    _statsmodels("scotland/src/scotvote.csv", "PublicHousingStarts", REAL, BLANKS | {"index_col": None}),
    _statsmodels("spector/spector.csv", "GRADE", BINARY, BLANKS),
    _statsmodels("stackloss/stackloss.csv", "STACKLOSS"),
    _statsmodels("star98/star98.csv", "MATHTOT"),
    _statsmodels("statecrime/statecrime.csv", "urban"),
    _statsmodels("strikes/strikes.csv", "iprod"),
    _statsmodels("sunspots/sunspots.csv", "SUNACTIVITY"),
    _statsmodels("sunspots/src/sunspots_yearly.dat", "f1", REAL, BLANKS | PLACES),
    Shipped("statsmodels", "stats/tests/results/binary_constrict.csv", "diagnosis", BINARY),
    Shipped("statsmodels", "gam/tests/results/autos.csv", "price"),
    Shipped("statsmodels", "discrete/tests/results/ships.csv", "accident"),
    Shipped("statsmodels", "duration/tests/results/bmt.csv", "Status", BINARY),
    Shipped("statsmodels", "miscmodels/tests/results/ologit_ucla.csv", "apply", CLASSES),
    Shipped("statsmodels", "genmod/tests/results/stata_lbw_glm.csv", "low", BINARY),
    Shipped("numpy", "random/tests/data/pcg64-testset-1.csv", "seed", REAL, None),
    Shipped("scipy", "stats/tests/data/nist_anova/SiRstv.dat", "Resistance", REAL, None),
]


def expected(path: Path, read: Mapping[str, Any], settings: dict[str, Any]) -> tuple[pd.DataFrame, pd.Series]:
    """Features and target as pandas reads them when told how."""
    words = settings.get("na") or []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)
        frame = pd.read_csv(
            path,
            dtype=str,  # Python makes the numbers
            **{"index_col": False, "skipinitialspace": True}
            | dict(read)
            | {"na_values": [*read.get("na_values", []), *([words] if isinstance(words, str) else words)]},
        )
    frame.columns = [f"f{name}" if "header" in read else str(name).strip().strip("'") for name in frame.columns]
    named = settings.get("features")
    names = [str(name).strip().strip("'") for name in named] if named else [n for n in frame if n != settings["target"]]
    used = frame[[*names, settings["target"]]]
    used = used.dropna() if settings.get("na") else used
    y = used[settings["target"]]
    try:
        y = y.map(float)
    except ValueError:
        pass  # labels
    return used[names].map(float), y


def tried(path: Path, target: str, kind: Target, read: Mapping[str, Any] | None) -> str:
    """What happens to a file.  Raises Failure where it is misread, or refused without a cure that works."""
    try:
        ways = list(followed(path, target, kind))
    except ValueError as error:
        said = str(error).replace(str(path), path.name)
        if read is None and any(word in said for word in ("take out", "save", "write")):
            return f"refused: {said.partition(': ')[2][:150]}"
        raise Failure(f"{path}: {said}") from None
    if read is None:
        raise Failure(f"{path}: was read, and is no table")
    for settings, batch, _ in ways:
        X, y = expected(path, read, settings)
        if not np.array_equal(batch.X, X.to_numpy()):
            raise Failure(f"{path}: other features, with {settings}")
        wanted = pd.factorize(y, sort=True)[0] if isinstance(kind, Binary | Classes) else y.to_numpy(dtype=float)
        if isinstance(kind, Classes) and y.dtype.kind in "if":
            wanted = y.to_numpy(dtype=int)
        if not np.array_equal(batch.y.reshape(-1), wanted):
            raise Failure(f"{path}: another target, with {settings}")
    settings, batch, refusals = min(ways, key=lambda way: len(way[2]))
    typed = ", ".join(f"data.{key}" for key in settings if key != "target")
    sizes = f"{len(batch.X)} x {batch.X.shape[1]}"
    return f"read, {sizes}" if not refusals else f"refused {len(refusals)} x; read as it says ({typed}), {sizes}"


def trial(folder: Path) -> str:
    """Try all files and forms; prints a row for each."""
    counts = {"read": 0, "refused": 0, "cured": 0}
    rows = [(f.package, f.path, place(f), f.target, f.kind, f.read) for f in FILES]
    for name, make in FORMS.items():
        form: Form = make(random.Random(0))
        path = folder / form.file
        path.write_bytes(form.text.encode())
        rows.append((name, form.file, path, form.target, form.kind, form.read))
    for package, shown, path, target, kind, read in rows:
        if path is None:
            print(f"{package} {shown}: not installed")
            continue
        result = tried(path, target, kind, read)
        print(f"| {package} | {shown} | {target} | {result} |")
        key = "read" if result.startswith("read") else "cured" if "read as it says" in result else "refused"
        counts[key] += 1
    return (
        f"{sum(counts.values())} files: {counts['read']} read as they are, {counts['cured']} refused and then read with what"
        f" the refusal says, {counts['refused']} refused that hold no table; none misread"
    )


def place(file: Shipped) -> Path | None:
    spec = find_spec(file.package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / file.path
    return path if path.exists() else None
