"""Data sources: what is drawn, what is read, what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pyarrow import parquet

from gradcheck.errors import Meaningless
from gradcheck.experiment.sources.batches import standardized
from gradcheck.experiment.sources.data import DATA, NoData
from gradcheck.experiment.sources.file import File
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.shipped import Sklearn
from gradcheck.experiment.sources.values import Values
from gradcheck.models.batch import NO_BATCH
from gradcheck.models.target import Binary, Classes, NoTarget, Real
from gradcheck.numerics.streams import STREAMS, stream

REAL, BINARY, CLASSES = Real(), Binary(), Classes()
F64 = np.dtype(np.float64)


def equal(a, b):
    return np.array_equal(a.X, b.X) and np.array_equal(a.y, b.y)


# --- streams ----------------------------------------------------------------------------------------------------------


def test_equal_seeds_of_different_streams_give_different_numbers():
    draws = [stream(7, name).standard_normal(4) for name in STREAMS]
    assert len({tuple(draw) for draw in draws}) == len(STREAMS)


def test_a_stream_starts_anew_and_leaves_the_global_state_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    assert np.array_equal(stream(0, "data").random(5), stream(0, "data").random(5))
    assert np.array_equal(np.random.get_state()[1], before)


def test_the_streams_are_those_of_numpy_seed_sequences():
    """Recorded runs are reproduced by these very numbers, so the construction is part of the format."""
    expected = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(2,))).standard_normal(3)
    assert np.array_equal(stream(5, "weights").standard_normal(3), expected)


# --- generated data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [REAL, BINARY, CLASSES], ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_shapes_and_dtypes_of_generated_data(target, dtype):
    X, y = Gaussian(n=17, d=3).batch(target, np.dtype(dtype))
    assert X.shape == (17, 3)
    assert X.dtype == dtype
    assert X.flags.c_contiguous
    if target == CLASSES:
        assert y.shape == (17,)
        assert y.dtype == np.intp
    else:
        assert y.shape == (17, 1)
        assert y.dtype == dtype


@pytest.mark.parametrize("target", [REAL, BINARY, CLASSES], ids=lambda t: type(t).__name__)
def test_equal_settings_give_equal_data_and_another_seed_gives_others(target):
    assert equal(Gaussian(seed=4).batch(target, F64), Gaussian(seed=4).batch(target, F64))
    assert not np.array_equal(Gaussian(seed=4).batch(target, F64).X, Gaussian(seed=5).batch(target, F64).X)


@given(n=st.integers(2, 40), more=st.integers(1, 40), seed=st.integers(0, 2**40))
def test_a_larger_n_keeps_the_first_rows(n, more, seed):
    for target in (REAL, BINARY, CLASSES):
        small, large = (Gaussian(n=size, d=3, seed=seed).batch(target, F64) for size in (n, n + more))
        assert np.array_equal(small.X, large.X[:n])
        changed = (np.asarray(small.y) != np.asarray(large.y[:n])).sum()
        # only a row that stands in for a missing class may differ: at most K - 1 of K = 3 classes, in either batch
        assert changed <= {REAL: 0, BINARY: 2, CLASSES: 4}[target]


@pytest.mark.parametrize("target", [REAL, BINARY, CLASSES], ids=lambda t: type(t).__name__)
def test_noise_leaves_x_alone_and_scale_leaves_labels_alone(target):
    plain = Gaussian(n=50).batch(target, F64)
    noisy = Gaussian(n=50, noise=3.0).batch(target, F64)
    scaled = Gaussian(n=50, scale=1e6).batch(target, F64)
    assert np.array_equal(plain.X, noisy.X)
    assert not np.array_equal(plain.y, noisy.y)
    assert np.array_equal(plain.X * 1e6, scaled.X)
    if target != REAL:
        assert np.array_equal(plain.y, scaled.y)


def test_the_default_data_are_those_of_every_earlier_run():
    """Recorded runs are reproduced from their seeds alone, so these numbers must not change without a new schema."""
    real, binary, classes = (Gaussian().batch(target, F64) for target in (REAL, BINARY, CLASSES))
    first = [0.7384200608380668, -0.7712127126010314, -2.356556550769834, 0.6056162380654092, 0.3091528764515705]
    assert real.X[0].tolist() == first
    # products and sums of six numbers, in an order that the machine may choose
    np.testing.assert_allclose(real.y[:2, 0], [-0.30685035624624646, -0.12880055838190915], rtol=0, atol=1e-15)
    assert binary.y[:12, 0].tolist() == [0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0, 0]
    assert classes.y[:12].tolist() == [1, 1, 0, 0, 0, 1, 2, 2, 1, 2, 0, 1]


def test_scores_have_the_same_size_whatever_the_number_of_features():
    """w* has the variance 1/d, so that labels are neither certain nor chance."""
    for d in (1, 10, 300):
        sizes = [Gaussian(n=200, d=d, noise=0.0, seed=seed).batch(REAL, F64).y.std() for seed in range(200)]
        # the mean of |w*|^2 is 1; its deviation over seeds is sqrt(2/d), and that of the sample variance sqrt(2/200)
        assert np.mean(np.square(sizes)) == pytest.approx(1, abs=5 * np.sqrt((2 / d + 2 / 200) * 2 / 200))


def test_the_dtype_rounds_the_same_numbers():
    wide, narrow = (Gaussian().batch(REAL, np.dtype(t)) for t in (np.float64, np.float32))
    assert np.array_equal(wide.X.astype(np.float32), narrow.X)
    assert np.array_equal(wide.y.astype(np.float32), narrow.y)


@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.2, 1.0])
def test_features_have_the_correlation_and_scale_asked_for(correlation):
    n = 20_000
    X = Gaussian(n=n, d=4, scale=2.0, correlation=correlation).batch(REAL, F64).X
    measured = np.corrcoef(X.T)
    expected = np.where(np.eye(4, dtype=bool), 1.0, correlation)
    # standard errors: (1 - c^2)/sqrt(n) of a correlation, 2/sqrt(2n) of a deviation; five of them
    np.testing.assert_allclose(measured, expected, atol=5 * (1 - correlation**2) / np.sqrt(n) + 1e-12)
    np.testing.assert_allclose(X.std(axis=0), 2.0, atol=5 * 2 / np.sqrt(2 * n))


def test_real_targets_are_linear_in_x_up_to_the_noise():
    X, y = Gaussian(n=60, d=3, noise=0.0, outputs=2).batch(REAL, F64)
    w, *_ = np.linalg.lstsq(X, y, rcond=None)
    # backward stable least squares of a well conditioned X: a few hundred roundings of numbers of order 1
    np.testing.assert_allclose(X @ w, y, atol=1e-13)
    residual = Gaussian(n=5000, d=3, noise=0.5).batch(REAL, F64)
    w, *_ = np.linalg.lstsq(*residual, rcond=None)
    assert np.std(residual.y - residual.X @ w) == pytest.approx(0.5, rel=5 / np.sqrt(2 * 5000))  # five standard errors


def test_binary_labels_follow_a_logistic_model():
    X, y = Gaussian(n=20_000, d=1, noise=0.0, seed=1).batch(BINARY, F64)
    w = Gaussian(n=2, d=1, noise=0.0, seed=1).batch(REAL, F64)
    slope = w.y[0, 0] / w.X[0, 0]
    p = 1 / (1 + np.exp(-slope * X))
    for low in np.arange(0, 1, 0.1):
        inside = (p >= low) & (p < low + 0.1)
        if inside.sum() > 50:  # five standard errors of a share, at most 1/2 each
            assert abs(y[inside].mean() - p[inside].mean()) < 5 * 0.5 / np.sqrt(inside.sum())


@given(n=st.integers(2, 6), seed=st.integers(0, 10**6), outputs=st.integers(1, 3), scale=st.sampled_from([1e-3, 1e3]))
def test_both_labels_are_present(n, seed, outputs, scale):
    y = Gaussian(n=n, d=2, seed=seed, outputs=outputs, scale=scale).batch(BINARY, F64).y
    assert (y.min(axis=0) == 0).all()
    assert (y.max(axis=0) == 1).all()


@given(classes=st.integers(2, 7), extra=st.integers(0, 3), seed=st.integers(0, 10**6))
def test_every_class_is_present(classes, extra, seed):
    y = Gaussian(n=classes + extra, d=2, seed=seed).batch(Classes(classes), F64).y
    assert set(y) == set(range(classes))


def test_fewer_rows_than_classes_are_no_error():
    y = Gaussian(n=2).batch(Classes(5), F64).y
    assert y.shape == (2,)
    assert y.max() < 5


def test_outputs_are_columns_where_the_model_takes_them_and_refused_where_not():
    assert Gaussian(outputs=3).batch(BINARY, F64).y.shape == (100, 3)
    assert Gaussian().batch(Real(2), F64).y.shape == (100, 2)
    with pytest.raises(Meaningless, match=r"data\.outputs=3: must be 1 for this model"):
        Gaussian(outputs=3).batch(Binary(1), F64)
    with pytest.raises(Meaningless, match=r"data\.outputs=3.*class labels"):
        Gaussian(outputs=3).batch(CLASSES, F64)


# --- standardize ------------------------------------------------------------------------------------------------------


@given(
    st.integers(2, 30),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.sampled_from([1e-200, 1e-3, 1.0, 1e5, 1e200]),
)
def test_standardized_columns_have_mean_0_and_deviation_1(n, d, seed, scale):
    X = np.random.default_rng(seed).standard_normal((n, d)) * scale
    assume((X.std(axis=0) > 0).all() if scale == 1.0 else True)
    Z = standardized(X)
    # n roundings of entries up to sqrt(n) in the mean and the deviation
    tolerance = 20 * n * np.finfo(float).eps
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=tolerance)
    np.testing.assert_allclose(Z.std(axis=0), 1, atol=tolerance)


def test_constant_columns_become_0():
    X = np.column_stack([np.full(7, 0.1), np.arange(7.0), np.full(7, 1e300)])
    Z = standardized(X)
    assert (Z[:, [0, 2]] == 0).all()
    assert standardized(X[:1]).tolist() == [[0.0, 0.0, 0.0]]


def test_every_source_with_the_setting_standardizes():
    raw = {
        "gaussian": {"scale": 5.0},
        "sklearn": {"name": "iris"},
        "values": {"X": [[1, 2], [3, 9], [4, 4]], "y": [1, 2, 3]},
    }
    for name, settings in raw.items():
        for flag in (True, False):
            X = DATA[name](**settings, standardize=flag).batch(REAL, F64).X
            assert np.allclose(X.std(axis=0), 1) == flag, name


# --- files ------------------------------------------------------------------------------------------------------------

CSV = "a,b,label,y\n1,0.5,cat,1\n2,-1.25,dog,0\n3.5,2e3,cat,1\n4,0.1,bird,0\n"


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def make(tmp_path: Path):
    def write(text: str | bytes, name: str = "made.csv") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_csv_columns_by_name(csv):
    X, y = File(str(csv), "y", ["b", "a"]).batch(Binary(1), F64)
    assert X.tolist() == [[0.5, 1], [-1.25, 2], [2e3, 3.5], [0.1, 4]]
    assert y.tolist() == [[1], [0], [1], [0]]
    assert File(str(csv), "y").sources() == [csv]


def test_all_other_columns_are_features_unless_named(make):
    path = make("a,y,b\n1,2,3\n4,5,6\n")
    assert File(path, "y").batch(REAL, F64).X.tolist() == [[1, 3], [4, 6]]
    assert File(path, ["b", "a"]).batch(REAL, F64).y.tolist() == [[3, 1], [6, 4]]


def test_parquet_and_csv_give_the_same_batch(csv, tmp_path):
    table = {"a": [1, 2, 3.5, 4], "b": [0.5, -1.25, 2e3, 0.1], "y": pa.array([True, False, True, False])}
    parquet.write_table(pa.table(table), tmp_path / "table.parquet")
    ours = File(str(tmp_path / "table.parquet"), "y").batch(BINARY, F64)
    assert equal(ours, File(str(csv), "y", ["a", "b"]).batch(BINARY, F64))


def test_decimals_of_a_csv_are_read_to_the_last_bit(make):
    values = np.random.default_rng(0).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    path = make("x,y\n" + "".join(f"{float(v)!r},1\n" for v in values))
    assert np.array_equal(File(path, "y").batch(REAL, F64).X[:, 0], values)


def test_a_column_of_integers_may_hold_a_fraction_far_below(make):
    path = make("x,y\n" + "1,1\n" * 400_000 + "1.5,1\n")  # beyond the first block of a CSV reader
    assert File(path, "y").batch(REAL, F64).X[-1, 0] == 1.5


def test_text_labels_are_numbered_in_sorted_order(csv, make):
    assert File(str(csv), "label", ["a"]).batch(CLASSES, F64).y.tolist() == [1, 2, 1, 0]
    # one-hot for a model with any number of 0/1 outputs
    assert File(str(csv), "label", ["a"]).batch(BINARY, F64).y.tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    two = make("x,y\n1,yes\n2,no\n3,yes\n")
    assert File(two, "y").batch(Binary(1), F64).y.tolist() == [[1], [0], [1]]


def test_categories_of_a_parquet_file_are_labels(tmp_path):
    column = pa.array(["u", "v", "u"]).dictionary_encode()
    parquet.write_table(pa.table({"x": [1, 2, 3], "y": column}), tmp_path / "c.parquet")
    assert File(str(tmp_path / "c.parquet"), "y").batch(CLASSES, F64).y.tolist() == [0, 1, 0]


def test_integer_labels_are_kept_where_they_fit_and_numbered_where_not(make):
    path = make("x,y\n1,1\n2,2\n3,1\n")
    assert File(path, "y").batch(Classes(3), F64).y.tolist() == [1, 2, 1]
    assert File(path, "y").batch(Classes(2), F64).y.tolist() == [0, 1, 0]
    assert File(path, "y").batch(CLASSES, F64).y.tolist() == [0, 1, 0]


def test_the_first_n_rows(csv):
    assert File(str(csv), "y", ["a"], n=2).batch(REAL, F64).X.tolist() == [[1], [2]]


def test_a_file_that_changed_is_read_again(make):
    path = make("x,y\n1,1\n2,0\n")
    first = File(path, "y").batch(REAL, F64)
    make("x,y\n10,1\n20,0\n")
    assert not equal(first, File(path, "y").batch(REAL, F64))


def test_batches_do_not_share_memory_with_the_cache(csv):
    source = File(str(csv), "y", ["a"])
    source.batch(REAL, F64).X[:] = -1
    assert source.batch(REAL, F64).X.min() == 1


BAD_FILES = {
    "missing": (None, {}, r"data\.path=.*none\.csv: No such file"),
    "empty": ("", {}, r"data\.path=.*: the file is empty"),
    "only a header": ("x,y\n", {}, r"data\.path=.*: the file has no rows"),
    "cut in a row": ("x,y\n1,2\n3", {}, r"data\.path=.*: cannot be read: .*Expected 2 columns, got 1"),
    "not text": (b"\xff\xfe\x00\x01,\xff\n\xff,\xfe\n", {}, r"data\.path=.*: cannot be read: .*utf-8"),
    "no such target": ("x,z\n1,2\n", {}, r"data\.target=y: no such column in .*; it has x, z"),
    "no such feature": ("x,y\n1,2\n", {"features": ["w"]}, r"data\.features=w: no such column in .*; it has x, y"),
    "only a target": ("y\n1\n", {}, r"data\.features: .* has no column beside the target y"),
    "text in a feature": ("x,y\n1,2\nred,3\n", {}, r"data\.features=x: holds 'red' in row 2, must hold numbers only"),
    "text in a target": ("x,y\n1,2\n2,red\n", {}, r"data\.target=y: holds 'red' in row 2, must hold numbers only"),
    "nan": ("x,y\n1,2\nnan,3\n", {}, r"data\.features=x: the field in row 2 .* is missing or NaN"),
    "empty field": ("x,y\n1,2\n,3\n", {}, r"data\.features=x: the field in row 2 .* is missing or NaN"),
    "inf": ("x,y\n1,2\n1,-inf\n", {}, r"data\.target=y: holds -inf in row 2, must hold finite numbers only"),
    "dates": ("x,y\n2020-01-01,2\n", {}, r"data\.features=x: holds '2020-01-01' in row 1"),
    "a name twice": ("x,x,y\n1,2,3\n", {}, r"data\.features=x: 2 columns of .* have this name"),
    "too large": ("x,y\n1,2\n", {"max_bytes": 5}, r"data\.path=.*: has 8 bytes, more than data\.max_bytes=5"),
    "too few rows": ("x,y\n1,2\n", {"n": 2}, r"data\.n=2: .* has 1 rows"),
    "two targets for one output": ("x,y,z\n1,2,3\n", {"target": ["y", "z"]}, r"data\.target=y, z: must be 1 column"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_in_one_line_that_names_the_key(case, make, tmp_path):
    text, settings, message = BAD_FILES[case]
    path = str(tmp_path / "none.csv") if text is None else make(text)
    source = File(**{"path": path, "target": "y"} | settings)
    source.validate()
    with pytest.raises(ValueError, match=message) as caught:
        source.batch(Real(1), F64)
    assert "\n" not in str(caught.value)


BAD_LABELS = {
    "fractions": ("x,y\n1,0.5\n2,1\n", 0, r"data\.target=y: holds 0\.5, must hold class labels"),
    "one class": ("x,y\n1,red\n2,red\n", 0, r"data\.target=y: all labels are red, must have two classes"),
    "too many classes": ("x,y\n1,a\n2,b\n3,c\n", 2, r"data\.target=y: has 3 classes, model\.n_classes=2"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_bad_class_labels_are_refused(case, make):
    text, size, message = BAD_LABELS[case]
    with pytest.raises(ValueError, match=message):
        File(make(text), "y").batch(Classes(size), F64)


def test_three_text_labels_mean_nothing_to_one_output(csv):
    with pytest.raises(Meaningless, match=r"data\.target=label: has 3 classes"):
        File(str(csv), "label", ["a"]).batch(Binary(1), F64)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_parquet_file_is_refused(keep, tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"x": np.arange(1000.0), "y": np.arange(1000.0)}), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ValueError, match=r"data\.path=.*(cannot be read|is empty)") as caught:
        File(str(path), "y").batch(REAL, F64)
    assert "\n" not in str(caught.value)


def test_parquet_nan_and_unpacked_size_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"x": [1.0, np.nan], "y": [1.0, 2.0]}), path)
    with pytest.raises(ValueError, match=r"data\.features=x: holds nan in row 2"):
        File(str(path), "y").batch(REAL, F64)
    parquet.write_table(
        pa.table({"x": np.zeros(10**6, dtype=np.int64)}), path, use_dictionary=False, compression="zstd"
    )
    assert path.stat().st_size < 10**5
    with pytest.raises(ValueError, match=r"unpacks to 8\d+ bytes, more than data\.max_bytes=100000"):
        File(str(path), "x", max_bytes=10**5).batch(REAL, F64)


@pytest.mark.parametrize("name", ["table.txt", "table", "table.data", "table.parquet.csv"])
def test_a_table_in_text_may_have_any_suffix(name, make):
    assert File(make("x,y\n1,2\n", name), "y").batch(REAL, F64).X.tolist() == [[1]]


def test_a_folder_without_parts_is_refused(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"is a folder in which no file ends in \.parquet"):
        File(str(tmp_path / "folder.csv"), "y").batch(REAL, F64)


# --- scikit-learn -----------------------------------------------------------------------------------------------------

SETS = {"breast_cancer": (569, 30, 2), "diabetes": (442, 10, 0), "iris": (150, 4, 3), "wine": (178, 13, 3)}
SETS["digits"] = (1797, 64, 10)


@pytest.mark.parametrize("name", SETS)
def test_sets_of_scikit_learn(name):
    n, d, classes = SETS[name]
    source = Sklearn(name)
    source.validate()
    X, y = source.batch(REAL, F64)
    assert X.shape == (n, d)
    assert y.shape == (n, 1)
    spread = X.std(axis=0)
    # standardized: 1 up to n roundings; columns that are constant (of digits) are 0
    assert np.all((spread == 0) | (np.abs(spread - 1) < n * np.finfo(float).eps))
    if classes:
        labels = source.batch(CLASSES, F64).y
        assert set(labels) == set(range(classes))
        assert source.batch(BINARY, F64).y.shape == (n, 1 if classes == 2 else classes)
    else:
        with pytest.raises(Meaningless, match="real target"):
            source.batch(CLASSES, F64)


def test_one_output_takes_two_classes_only():
    assert Sklearn("breast_cancer").batch(Binary(1), F64).y.shape == (569, 1)
    with pytest.raises(Meaningless, match=r"data\.name=iris: has 3 classes"):
        Sklearn("iris").batch(Binary(1), F64)


def test_n_rows_are_spread_over_the_classes():
    y = Sklearn("iris", n=30).batch(CLASSES, F64).y
    assert np.bincount(y).tolist() == [10, 10, 10]
    with pytest.raises(ValueError, match=r"data\.n=151: iris has 150 rows"):
        Sklearn("iris", n=151).batch(CLASSES, F64)


def test_a_missing_scikit_learn_is_named_with_its_extra(monkeypatch):
    from gradcheck.experiment.sources.shipped import load as _load_sklearn

    _load_sklearn.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r"data\.name=iris: needs scikit-learn.*gradcheck\[sklearn\]"):
        Sklearn("iris").batch(CLASSES, F64)


# --- values and none --------------------------------------------------------------------------------------------------


def test_values_are_taken_as_they_are():
    assert Values([[1, 2], [3, 4]], [0, 1]).batch(BINARY, F64).y.tolist() == [[0], [1]]
    assert Values([[1, 2], [3, 4]], [[0, 1], [1, 1]]).batch(BINARY, F64).y.shape == (2, 2)
    assert Values([[1, 2], [3, 4]], [0, 2]).batch(CLASSES, F64).y.tolist() == [0, 2]
    assert Values([[1, 2], [3, 4]], [[0], [2]]).batch(CLASSES, F64).y.tolist() == [0, 2]


BAD_VALUES = {
    "no X": (None, [1], r"data\.X: must be given"),
    "no y": ([[1]], None, r"data\.y: must be given"),
    "ragged": ([[1, 2], [3]], [1, 2], r"data\.X: its rows have different lengths"),
    "flat": ([1, 2], [1, 2], r"data\.X: has the shape \(2,\)"),
    "empty": ([], [], r"data\.X: has the shape \(0,\)"),
    "text": ([["a"]], [1], r"data\.X: must hold numbers only"),
    "nan": ([[float("nan")]], [1], r"data\.X: holds nan"),
    "inf": ([[1]], [float("inf")], r"data\.y: holds inf"),
    "lengths": ([[1], [2]], [1], r"data\.y: has 1 rows, data\.X has 2"),
    "a number": ([[1]], 1, r"data\.y: has the shape \(\)"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_values_are_refused(case):
    X, y, message = BAD_VALUES[case]
    with pytest.raises(ValueError, match=message):
        Values(X, y).validate()


@pytest.mark.parametrize(
    ("y", "target", "message"),
    [
        ([0.5, 1], CLASSES, r"data\.y: holds 0\.5, must hold class labels 0 \.\. K-1"),
        ([-1, 1], CLASSES, r"data\.y: holds -1"),
        ([0, 3], Classes(3), r"data\.y: holds 3, must hold class labels 0 \.\. 2"),
        ([[0, 1], [1, 0]], CLASSES, r"data\.y: has 2 columns"),
        ([[0, 1], [1, 0]], Real(1), r"data\.y: has 2 columns, must have 1"),
    ],
)
def test_values_that_do_not_suit_the_model_are_refused(y, target, message):
    with pytest.raises(ValueError, match=message):
        Values([[1], [2]], y).batch(target, F64)


def test_numbers_beyond_the_dtype_are_refused():
    with pytest.raises(ValueError, match=r"up to 1e\+300, which dtype=float32 cannot represent"):
        Values([[1e300]], [1]).batch(REAL, np.dtype(np.float32))


def test_models_without_data_get_none_from_every_source():
    none = NoTarget()
    for source in (NoData(), Gaussian(), Sklearn("iris"), Values([[1]], [1]), File("nowhere.csv", "y")):
        assert source.batch(none, F64) is NO_BATCH
    with pytest.raises(Meaningless, match="data=none: this model needs data"):
        NoData().batch(REAL, F64)


# --- settings ---------------------------------------------------------------------------------------------------------

BAD_SETTINGS = [
    *[(Gaussian, {key: bad}, key) for key in ("n", "d", "outputs") for bad in (0, -1, 1.5, True, "x", None)],
    *[(Gaussian, {"seed": bad}, "seed") for bad in (-1, 0.5, None, True)],
    *[(Gaussian, {"noise": bad}, "noise") for bad in (-0.1, float("nan"), float("inf"), "x", None, True)],
    *[(Gaussian, {"scale": bad}, "scale") for bad in (0, -1.0, float("nan"), float("inf"))],
    *[(Gaussian, {"correlation": bad}, "correlation") for bad in (1.1, -0.26, float("nan"))],
    *[(Gaussian, {"standardize": bad}, "standardize") for bad in ("yes", 1, None)],
    (File, {"target": "y"}, "path"),
    (File, {"path": "a.csv"}, "target"),
    (File, {"path": "a.csv", "target": []}, "target"),
    (File, {"path": "a.csv", "target": ["y", "y"]}, "target"),
    (File, {"path": "a.csv", "target": "y", "features": []}, "features"),
    (File, {"path": "a.csv", "target": "y", "features": "x"}, "features"),
    (File, {"path": "a.csv", "target": "y", "features": ["x", "x"]}, "features"),
    (File, {"path": "a.csv", "target": "y", "features": ["x", "y"]}, "features"),
    (File, {"path": "a.csv", "target": "y", "n": 0}, "n"),
    (File, {"path": "a.csv", "target": "y", "max_bytes": 0}, "max_bytes"),
    (Sklearn, {"name": "boston"}, "name"),
    (Sklearn, {"name": "iris", "n": -3}, "n"),
]


@pytest.mark.parametrize(("kind", "settings", "key"), BAD_SETTINGS)
def test_bad_settings_are_refused_with_key_and_value(kind, settings, key):
    with pytest.raises(ValueError, match=rf"^data\.{key}=.*: .*") as caught:
        kind(**settings).validate()
    assert "\n" not in str(caught.value)


def test_defaults_of_generated_data_are_valid_and_extremes_work():
    Gaussian().validate()
    for extreme in ({"n": 1}, {"d": 1, "correlation": -1.0}, {"correlation": -0.25}, {"noise": 0.0}):
        source = replace(Gaussian(), **extreme)
        source.validate()
        for target in (REAL, BINARY, CLASSES):
            assert np.isfinite(source.batch(target, F64).X).all()
