"""Energies of particles and springs, and the geometry of rotations and cameras."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.calibration.zoo.arithmetic import Arithmetic, Values
from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.losses import drawn, start


def scattered(rng: np.random.Generator, n: int, point: str) -> Array:
    """Particles in space about 1.5 apart; where saturated two of them nearly meet."""
    corners = np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(3)][:n], float)
    x = 1.2 * corners + 0.12 * rng.normal(size=corners.shape)
    if point == "saturated":
        x[1] = x[0] + 0.3 * rng.normal(size=3) / 2
    return x.ravel()


Law = Callable[[Values, Arithmetic], tuple[Values, Values]]


def pair_energy(point: str, rng: np.random.Generator, n: int, law: Law, steps: int) -> Instance:
    """Sum over pairs of u(s), s the squared distance; law(s, a) gives u and du/ds."""
    i, j = np.triu_indices(n, 1)

    def value(w: Values, a: Arithmetic) -> Values:
        z = w.reshape(n, 3)
        return law(((z[i] - z[j]) ** 2).sum(1), a)[0].sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        z = w.reshape(n, 3)
        diff = z[i] - z[j]
        force = 2 * law((diff**2).sum(1), a)[1][:, None] * diff
        dz = 0 * z
        np.add.at(dz, i, force)
        np.subtract.at(dz, j, force)
        return dz.ravel()

    return drawn(value, gradient, scattered(rng, n, point), point, steps=steps)


@family("lennard_jones", points=("random", "optimum", "saturated"))
def lennard_jones(rng: np.random.Generator, point: str) -> Instance:
    """Eight atoms: sum of 4 (r^-12 - r^-6) over pairs; values of 1e6 and more where two nearly meet."""

    def law(s: Values, a: Arithmetic) -> tuple[Values, Values]:
        p = 1 / s**3
        return 4 * (p * p - p), -12 * (2 * p * p - p) / s

    return pair_energy(point, rng, 8, law, steps=20)


@family("n_body", points=("random", "saturated"))
def n_body(rng: np.random.Generator, point: str) -> Instance:
    """Eight charges or masses with softened gravity: sum of -m m / sqrt(r^2 + 0.01) over pairs."""
    m = rng.lognormal(size=8)
    i, j = np.triu_indices(8, 1)

    def law(s: Values, a: Arithmetic) -> tuple[Values, Values]:
        r = a.sqrt(s + 0.01)
        u = -m[i] * m[j] / r
        return u, -u / (2 * (s + 0.01))

    return pair_energy(point, rng, 8, law, steps=0)


@family("morse_cluster", points=("random", "optimum", "saturated"))
def morse_cluster(rng: np.random.Generator, point: str) -> Instance:
    """Seven atoms with the Morse potential: sum of (1 - exp(3 (1 - r)))^2 - 1 over pairs."""

    def law(s: Values, a: Arithmetic) -> tuple[Values, Values]:
        r = a.sqrt(s)
        e = a.exp(3 * (1 - r))
        return (1 - e) ** 2 - 1, 3 * (1 - e) * e / r

    return pair_energy(point, rng, 7, law, steps=20)


@family("springs", points=("random", "optimum", "saturated"))
def springs(rng: np.random.Generator, point: str) -> Instance:
    """A hanging net of 4 x 3 masses in the plane, springs of rest length 1: energies of springs and of weight."""
    rows, columns = 4, 3
    n = rows * columns
    place = np.arange(n).reshape(rows, columns)
    i = np.concatenate([place[:-1].ravel(), place[:, :-1].ravel()])
    j = np.concatenate([place[1:].ravel(), place[:, 1:].ravel()])
    stiff = 10 * rng.lognormal(size=i.size)
    anchors = np.stack([np.arange(columns), np.zeros(columns)], axis=1).astype(float)
    rest = np.stack([place.ravel() % columns, -1.0 - place.ravel() // columns], axis=1)

    def value(w: Values, a: Arithmetic) -> Values:
        z = w.reshape(n, 2)
        r = a.sqrt(((z[i] - z[j]) ** 2).sum(1))
        held = ((z[:columns] - anchors) ** 2).sum()
        return (stiff * (r - 1) ** 2).sum() / 2 + 5 * held + z[:, 1].sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        z = w.reshape(n, 2)
        diff = z[i] - z[j]
        r = a.sqrt((diff**2).sum(1))
        pull = (stiff * (1 - 1 / r))[:, None] * diff
        dz = 0 * z
        np.add.at(dz, i, pull)
        np.subtract.at(dz, j, pull)
        dz[:columns] += 10 * (z[:columns] - anchors)
        dz[:, 1] += 1
        return dz.ravel()

    x = (rest + (30.0 if point == "saturated" else 0.2) * rng.normal(size=(n, 2))).ravel()
    return drawn(value, gradient, x, point)


@family("xy_model", points=("random", "optimum", "zeros"))
def xy_model(rng: np.random.Generator, point: str) -> Instance:
    """Energy of 25 planar spins on a torus: -J cos(difference of neighbours) - field cos(angle)."""
    side = 5
    J, K = rng.normal(1.0, 0.3, size=(2, side, side))
    field = 0.3 * rng.normal(size=(side, side))

    def value(w: Values, a: Arithmetic) -> Values:
        t = w.reshape(side, side)
        right, down = t - np.roll(t, 1, 0), t - np.roll(t, 1, 1)
        return -(J * a.cos(right) + K * a.cos(down) + field * a.cos(t - 0.5)).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        t = w.reshape(side, side)
        right, down = J * a.sin(t - np.roll(t, 1, 0)), K * a.sin(t - np.roll(t, 1, 1))
        return (right - np.roll(right, -1, 0) + down - np.roll(down, -1, 1) + field * a.sin(t - 0.5)).ravel()

    return drawn(value, gradient, start(rng, side * side, point, spread=1.5), point)


@family("minimal_surface", points=("random", "optimum", "zeros", "saturated"))
def minimal_surface(rng: np.random.Generator, point: str) -> Instance:
    """Area over a grid of 5 x 5 heights with a given rim: sum of sqrt(1 + a^2 + b^2) of the triangles' slopes."""
    side = 5
    rim = rng.normal(size=(side + 2, side + 2))
    rim[1:-1, 1:-1] = 0.0

    def slopes(w: Values, a: Arithmetic) -> tuple[Values, Values, Values]:
        z = rim + np.zeros_like(rim, dtype=w.dtype)
        z[1:-1, 1:-1] = w.reshape(side, side)
        p, q = z[1:, :-1] - z[:-1, :-1], z[:-1, 1:] - z[:-1, :-1]
        return p, q, a.sqrt(1 + p * p + q * q)

    def value(w: Values, a: Arithmetic) -> Values:
        return slopes(w, a)[2].sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        p, q, area = slopes(w, a)
        p, q = p / area, q / area
        dz = np.zeros((side + 2, side + 2), dtype=w.dtype)
        dz[1:, :-1] += p
        dz[:-1, 1:] += q
        dz[:-1, :-1] -= p + q
        return dz[1:-1, 1:-1].ravel()

    return drawn(value, gradient, start(rng, side * side, point, far=1e3), point)


def turned(q: Values, v: Values) -> Values:
    """v (k, 3) turned by quaternions q (..., 4) of any length: (s^2 - u.u) v + 2 (u.v) u + 2 s u x v, over |q|^2."""
    s, u = q[..., :1], q[..., 1:]
    norm = (q * q).sum(-1, keepdims=True)
    cross = np.stack([u[..., k - 2] * v[..., k - 1] - u[..., k - 1] * v[..., k - 2] for k in range(3)], axis=-1)
    dot = (u * v).sum(-1, keepdims=True)
    return ((s * s - (u * u).sum(-1, keepdims=True)) * v + 2 * dot * u + 2 * s * cross) / norm


def turned_back(q: Values, v: Values, e: Values) -> Values:
    """Gradient by q of e . turned(q, v)."""
    s, u = q[..., :1], q[..., 1:]
    norm = (q * q).sum(-1, keepdims=True)
    cross = np.stack([u[..., k - 2] * v[..., k - 1] - u[..., k - 1] * v[..., k - 2] for k in range(3)], axis=-1)
    across = np.stack([v[..., k - 2] * e[..., k - 1] - v[..., k - 1] * e[..., k - 2] for k in range(3)], axis=-1)
    uv, ev, eu = (u * v).sum(-1, keepdims=True), (e * v).sum(-1, keepdims=True), (e * u).sum(-1, keepdims=True)
    total = (e * turned(q, v)).sum(-1, keepdims=True)
    ds = 2 * s * ev + 2 * (e * cross).sum(-1, keepdims=True)
    du = -2 * u * ev + 2 * eu * v + 2 * uv * e + 2 * s * across
    return (np.concatenate([ds, du], axis=-1) - 2 * total * q) / norm


@family("quaternion_alignment", points=("random", "optimum"))
def quaternion_alignment(rng: np.random.Generator, point: str) -> Instance:
    """Five frames turned onto measured points: mean squared distance, quaternions free in length."""
    frames, k = 5, 4
    v = rng.normal(size=(k, 3))
    truth = rng.normal(size=(frames, 1, 4))
    seen = turned(truth, v) + 0.05 * rng.normal(size=(frames, k, 3))

    def value(w: Values, a: Arithmetic) -> Values:
        return ((turned(w.reshape(frames, 1, 4), v) - seen) ** 2).sum() / frames

    def gradient(w: Values, a: Arithmetic) -> Values:
        q = w.reshape(frames, 1, 4)
        return turned_back(q, v, 2 / frames * (turned(q, v) - seen)).sum(1).ravel()

    return drawn(value, gradient, start(rng, 4 * frames, point), point)


@family("bundle_adjustment", points=("random", "optimum"))
def bundle_adjustment(rng: np.random.Generator, point: str) -> Instance:
    """Two cameras (quaternion, place, log focal length) and five points in space: squared reprojection errors."""
    cameras, k = 2, 5
    seen = rng.normal(size=(cameras, k, 2))
    cut = 8 * cameras

    def projected(w: Values, a: Arithmetic) -> tuple[Values, Values, Values, Values]:
        c = w[:cut].reshape(cameras, 1, 8)
        at = turned(c[..., :4], w[cut:].reshape(k, 3)) + c[..., 4:7]
        focus, depth = a.exp(c[..., 7:]), at[..., 2:] + 6
        return focus * at[..., :2] / depth - seen, at, focus, depth

    def value(w: Values, a: Arithmetic) -> Values:
        return (projected(w, a)[0] ** 2).sum() / k

    def gradient(w: Values, a: Arithmetic) -> Values:
        r, at, focus, depth = projected(w, a)
        r = 2 / k * r
        image = r * focus / depth
        ddepth = -(image * at[..., :2]).sum(-1, keepdims=True) / depth
        e = np.concatenate([image, ddepth], axis=-1)
        q, v = w[:cut].reshape(cameras, 1, 8)[..., :4], w[cut:].reshape(k, 3)
        dfocus = (image * at[..., :2]).sum((1, 2))[:, None]
        dcameras = np.concatenate([turned_back(q, v, e).sum(1), e.sum(1), dfocus], axis=1)
        opposite = q * np.array([1.0, -1.0, -1.0, -1.0])
        return np.append(dcameras.ravel(), turned(opposite, e).sum(0).ravel())

    x = 0.5 * rng.normal(size=cut + 3 * k)
    x[[0, 8]] += 2.0
    return drawn(value, gradient, x, point, steps=15)
