"""Parameters to start from, and the layout that places them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import INITS, Normal, Optimum, StartFile, StartValues, Zeros
from gradcheck.models import Linear, Logistic
from gradcheck.models.target import Real
from gradcheck.numerics.layout import Layout

LAYOUT = Layout(("W", "b", "t"), ((2, 3), (3,), ()))
VALUES = {"W": [[1, 2, 3], [4, 5, 6]], "b": [7, 8, 9], "t": 10}
DTYPES = [np.float32, np.float64, np.longdouble]


@pytest.fixture
def npz(tmp_path: Path):
    def write(**arrays) -> str:
        path = tmp_path / "theta.npz"
        np.savez(path, **arrays)
        return str(path)

    return write


# --- layout -----------------------------------------------------------------------------------------------------------

shapes = st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=4)


@given(shapes)
def test_split_and_join_are_inverse_and_every_flat_index_is_located(shapes):
    layout = Layout(tuple(f"p{i}" for i in range(len(shapes))), tuple(shapes))
    theta = np.arange(float(layout.size))
    parts = layout.split(theta)
    assert np.array_equal(layout.join(parts), theta)
    names, positions = layout.columns(np.arange(layout.size))
    for i in range(layout.size):
        name, position = layout.locate(i)
        assert (name, list(position)) == (names[i], positions[i])
        assert parts[name][position] == i


def test_split_gives_views_also_of_complex_parameters():
    theta = np.zeros(LAYOUT.size, dtype=complex)
    LAYOUT.split(theta)["W"][1, 2] = 1j
    assert theta[5] == 1j


def test_columns_take_any_order_and_repetition():
    assert LAYOUT.columns(np.array([9, 5, 5, 6])) == (["t", "W", "W", "b"], [[], [1, 2], [1, 2], [0]])
    with pytest.raises(IndexError):
        LAYOUT.locate(10)


def test_join_keeps_the_dtype_of_its_values_unless_one_is_given():
    values = {name: np.asarray(value, dtype=np.float32) for name, value in VALUES.items()}
    assert LAYOUT.join(values).dtype == np.float32
    assert LAYOUT.join(values, np.longdouble).dtype == np.longdouble


# --- sources ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_source_gives_a_flat_vector_of_the_dtype(dtype, npz):
    sources = [Normal(), Zeros(), Optimum(), StartValues(VALUES), StartFile(npz(**VALUES))]
    assert {type(source) for source in sources} == set(INITS.values())
    for source in sources:
        source.validate()
        theta = source.theta(LAYOUT, np.dtype(dtype))
        assert theta.shape == (10,)
        assert theta.dtype == dtype


def test_values_stand_in_the_order_of_the_layout(npz):
    shuffled = dict(reversed(VALUES.items()))
    assert StartValues(shuffled).theta(LAYOUT, np.float64).tolist() == list(range(1, 11))
    assert StartFile(npz(**shuffled)).theta(LAYOUT, np.float64).tolist() == list(range(1, 11))


def test_normal_parameters_depend_on_their_own_seed_and_scale_only():
    theta = Normal(3).theta(LAYOUT, np.float64)
    Gaussian(seed=3).batch(Real(1), np.dtype(np.float64))  # takes nothing from the weights' stream
    assert np.array_equal(theta, Normal(3).theta(LAYOUT, np.float64))
    assert np.array_equal(2 * theta, Normal(3, 2.0).theta(LAYOUT, np.float64))
    assert not np.array_equal(theta, Normal(4).theta(LAYOUT, np.float64))
    assert np.array_equal(theta.astype(np.float32), Normal(3).theta(LAYOUT, np.float32))


def test_the_default_parameters_are_those_of_every_earlier_run():
    """Recorded runs are reproduced from their seeds alone, so these numbers must not change without a new schema."""
    theta = Normal().theta(Layout(("W",), ((3,),)), np.float64)
    assert theta.tolist() == [0.9420990037776027, -0.6984925204581627, 1.588505736021452]


def test_normal_parameters_have_mean_0_and_deviation_scale():
    theta = Normal(0, 3.0).theta(Layout(("W",), ((100, 200),)), np.float64)
    assert abs(theta.mean()) < 5 * 3 / np.sqrt(theta.size)  # five standard errors
    assert abs(theta.std() / 3 - 1) < 5 / np.sqrt(2 * theta.size)


def test_file_is_the_only_source_with_content_on_disk(npz):
    path = npz(**VALUES)
    assert StartFile(path).sources() == [Path(path)]
    assert [source().sources() for source in (Normal, Zeros, StartValues)] == [[], [], []]


BAD_PARAMETERS = {
    "missing": ({"W": VALUES["W"], "b": VALUES["b"]}, "parameter t is missing"),
    "unknown": (VALUES | {"V": [1]}, "there is no parameter V"),
    "shape": (VALUES | {"b": [1, 2]}, r"b has the shape \(2,\): must be \(3,\)"),
    "transposed": (VALUES | {"W": np.transpose(VALUES["W"])}, r"W has the shape \(3, 2\): must be \(2, 3\)"),
    "nan": (VALUES | {"t": float("nan")}, "holds nan, must hold finite numbers only"),
    "inf": (VALUES | {"t": float("inf")}, "holds inf"),
    "complex": (VALUES | {"t": 1j}, "complex"),
    "text": (VALUES | {"t": "one"}, "t must hold numbers"),
    "flags": (VALUES | {"t": True}, "t must hold numbers, not bool"),
}


@pytest.mark.parametrize("case", BAD_PARAMETERS)
def test_wrong_parameters_are_refused_by_both_sources(case, npz):
    values, message = BAD_PARAMETERS[case]
    with pytest.raises(ValueError, match=rf"^init\.values: .*{message}"):
        StartValues(values).theta(LAYOUT, np.float64)
    with pytest.raises(ValueError, match=rf"^init\.path=.*theta\.npz: .*{message}"):
        StartFile(npz(**values)).theta(LAYOUT, np.float64)


def test_ragged_values_are_refused():
    with pytest.raises(ValueError, match=r"init\.values: W is ragged"):
        StartValues(VALUES | {"W": [[1, 2, 3], [4]]}).theta(LAYOUT, np.float64)


def test_numbers_beyond_the_dtype_are_refused():
    with pytest.raises(ValueError, match=r"init\.values: holds numbers up to 1e\+39, which dtype=float32"):
        StartValues(VALUES | {"t": 1e39}).theta(LAYOUT, np.float32)


# --- bad files --------------------------------------------------------------------------------------------------------


def refused(path: Path | str) -> str:
    with pytest.raises(ValueError, match=r"^init\.path=") as caught:
        StartFile(str(path)).theta(LAYOUT, np.float64)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_a_folder_and_other_content_are_refused(tmp_path):
    assert "No such file" in refused(tmp_path / "none.npz")
    assert "Is a directory" in refused(tmp_path)
    for name, content in (("empty.npz", b""), ("text.npz", b"W = 1"), ("zip.npz", b"PK\x03\x04 and no more")):
        (tmp_path / name).write_bytes(content)
        assert "not a complete npz file" in refused(tmp_path / name)
    np.save(tmp_path / "one.npy", np.ones(3))
    assert "not a complete npz file" in refused(tmp_path / "one.npy")


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
def test_a_truncated_file_is_refused(keep, npz, tmp_path):
    content = Path(npz(**VALUES)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: int(len(content) * keep)])
    assert "not a complete npz file" in refused(tmp_path / "cut.npz")


def test_a_flipped_bit_is_refused(npz, tmp_path):
    content = bytearray(Path(npz(**VALUES)).read_bytes())
    at = content.index(np.int64(6).tobytes())
    content[at] ^= 1
    (tmp_path / "flipped.npz").write_bytes(bytes(content))
    assert "not a complete npz file" in refused(tmp_path / "flipped.npz")


def test_pickled_objects_are_never_loaded(npz):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was loaded",))

    path = npz(**VALUES | {"t": np.array(Trap(), dtype=object)})
    assert "t is not an array of numbers" in refused(path)


def test_other_members_and_sizes_are_refused(npz, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("W", "1 2 3")
    assert "W is not an array of numbers" in refused(tmp_path / "other.npz")
    large = StartFile(str(npz(**VALUES)), max_bytes=10)
    with pytest.raises(ValueError, match=r"more than init\.max_bytes=10"):
        large.theta(LAYOUT, np.float64)


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "key"),
    [
        *[(Normal(seed=bad), "seed") for bad in (-1, 0.5, None, True, "1")],
        *[(Normal(scale=bad), "scale") for bad in (-1.0, float("nan"), float("inf"), None, True, "1")],
        *[(StartValues(bad), "values") for bad in ({}, None, [1.0])],
        *[(StartFile(bad), "path") for bad in ("", "???", None)],
    ],
)
def test_bad_settings_are_refused_with_key_and_value(source, key):
    with pytest.raises(ValueError, match=rf"^init\.{key}=.*: must "):
        source.validate()


# --- descent to an optimum --------------------------------------------------------------------------------------------


def refined(init, model, dtype, **data):
    batch = Gaussian(n=40, d=5, **data).batch(model.target, dtype)
    start = init.theta(model.layout(batch), dtype)
    theta = init.refine(start, lambda point: model.loss(point, batch), lambda point: model.gradient(point, batch))
    return start, theta, model, batch


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "model", [Linear(), Linear("half_sum"), Logistic(l2=0.1)], ids=["mean", "half_sum", "logistic"]
)
def test_at_an_optimum_only_rounding_is_left_of_the_gradient(model, dtype):
    _, theta, model, batch = refined(Optimum(), model, np.dtype(dtype), noise=0.1)
    assert theta.dtype == dtype
    gradient = np.abs(model.gradient(theta, batch).astype(np.float64))
    # moving theta by its own rounding moves the gradient by about sigma = |Hessian| u |theta|; 30 of it for both errors
    u = float(np.finfo(dtype).eps) / 2
    rounding = model.rounding(theta, batch)
    hessian = (
        np.abs(batch.X.astype(np.float64)).T @ np.abs(batch.X.astype(np.float64)) * (1 if model.averaged else 40) / 40
    )
    moved = 2 * u * hessian.max() * len(theta) * np.abs(theta.astype(np.float64)).max()
    assert (gradient <= 6 * rounding.gradient + 30 * moved).all()


def test_descent_can_be_cut_short_and_then_is_at_no_optimum():
    start, theta, model, batch = refined(Optimum(steps=0), Linear(), np.dtype(np.float64))
    assert np.array_equal(start, theta)
    assert np.abs(model.gradient(theta, batch)).max() > 0.1
    _, few, *_ = refined(Optimum(steps=2), Linear(), np.dtype(np.float64))
    assert 1e-6 < np.abs(model.gradient(few, batch)).max() < np.abs(model.gradient(start, batch)).max()


def test_descent_without_noise_finds_the_weights_that_made_the_data():
    _, theta, _, batch = refined(Optimum(), Linear(bias=False), np.dtype(np.float64), noise=0.0)
    exact, *_ = np.linalg.lstsq(batch.X, batch.y, rcond=None)
    # both solve a system of condition below 10 to rounding
    np.testing.assert_allclose(theta, exact[:, 0], rtol=0, atol=100 * np.finfo(float).eps * np.abs(exact).max())


def test_descent_leaves_the_start_alone_and_ends_where_there_is_no_minimum():
    start, best, *_ = refined(Optimum(), Logistic(), np.dtype(np.float64), scale=1000.0)
    kept = start.copy()
    assert np.isfinite(best).all()
    assert np.array_equal(start, kept)
    init = Optimum()
    line = init.refine(np.ones(1), lambda t: t[0], lambda t: np.ones(1))
    assert np.isfinite(line).all()
    assert np.array_equal(init.refine(np.ones(1), lambda t: t[0], lambda t: np.full(1, np.nan)), np.ones(1))


@pytest.mark.parametrize("steps", [-1, 1.5, True])
def test_a_wrong_number_of_steps_is_named(steps):
    with pytest.raises(ValueError, match=r"init\.steps="):
        Optimum(steps=steps).validate()
