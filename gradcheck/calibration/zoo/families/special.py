"""Special functions of SciPy; each is summed with weights over coordinates, or over mixtures of them.

``correct`` is the formula of the gradient with mpmath's function in place of SciPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from scipy import special

from gradcheck.calibration.zoo.arithmetic import FLOAT, Arithmetic, Elementwise, Values
from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.losses import drawn, start

TERMS = 20
Exactly = Callable[[Any], Any]


def both(ours: Elementwise, exactly: Exactly) -> Callable[[Values, Arithmetic], Values]:
    """One function in SciPy and in mpmath."""
    exact = np.frompyfunc(exactly, 1, 1)
    return lambda z, a: ours(z) if a is FLOAT else exact(z)


def summed(
    rng: np.random.Generator,
    x: Array,
    function: Callable[[Values, Arithmetic], Values],
    slope: Callable[[Values, Arithmetic], Values],
    mixed: bool = True,
) -> Instance:
    """sum of c_i f(z_i): z = x, or x with a tenth of its mirror image added where arguments of either sign are taken."""
    c, share = rng.normal(size=x.size), 0.1 if mixed else 0.0

    def value(w: Values, a: Arithmetic) -> Values:
        return (c * function(w + share * w[::-1], a)).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        v = c * slope(w + share * w[::-1], a)
        return v + share * v[::-1]

    return drawn(value, gradient, x, "as drawn")


def positive(rng: np.random.Generator, point: str) -> Array:
    """Arguments above 0: of size 1, up to 1e6 where saturated, down to 1e-6 at the boundary."""
    x = rng.lognormal(size=TERMS)
    if point == "saturated":
        return x * 10.0 ** rng.uniform(2, 6, size=TERMS)
    return x * 10.0 ** rng.uniform(-6, -2, size=TERMS) if point == "boundary" else x


def _pi(a: Arithmetic) -> Values:
    """pi to the digits at hand."""
    return np.pi if a is FLOAT else +mpmath.pi


_gammaln = both(special.gammaln, mpmath.loggamma)
_digamma = both(special.digamma, mpmath.digamma)
_trigamma = both(lambda z: special.polygamma(1, z), lambda z: mpmath.polygamma(1, z))


@family("log_gamma", points=("random", "saturated", "boundary"))
def log_gamma(rng: np.random.Generator, point: str) -> Instance:
    """log Gamma, with digamma."""
    return summed(rng, positive(rng, point), _gammaln, _digamma)


@family("digamma", points=("random", "saturated", "boundary"))
def digamma(rng: np.random.Generator, point: str) -> Instance:
    """Digamma, with trigamma."""
    return summed(rng, positive(rng, point), _digamma, _trigamma)


@family("log_beta", points=("random", "saturated", "boundary"))
def log_beta(rng: np.random.Generator, point: str) -> Instance:
    """log B(p, q) - p s - q t for ten pairs: the likelihood of beta distributions."""
    half = TERMS // 2
    s, t = np.log(rng.beta(2, 3, size=(2, half)))

    def value(w: Values, a: Arithmetic) -> Values:
        p, q = w[:half], w[half:]
        log_b = special.betaln(p, q) if a is FLOAT else a.gammaln(p) + a.gammaln(q) - a.gammaln(p + q)
        return (log_b - p * s - q * t).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        p, q = w[:half], w[half:]
        total = a.digamma(p + q)
        return np.append(a.digamma(p) - total - s, a.digamma(q) - total - t)

    return drawn(value, gradient, positive(rng, point), point)


_erf = both(special.erf, mpmath.erf)


@family("error_function", points=("random", "saturated", "zeros"))
def error_function(rng: np.random.Generator, point: str) -> Instance:
    """erf, with 2 exp(-z^2) / sqrt(pi)."""
    return summed(rng, start(rng, TERMS, point, far=4.0), _erf, lambda z, a: 2 * a.exp(-z * z) / a.sqrt(_pi(a)))


_erfcx = both(special.erfcx, lambda z: mpmath.exp(z * z) * mpmath.erfc(z))


@family("scaled_error_function", points=("random", "saturated", "zeros"))
def scaled_error_function(rng: np.random.Generator, point: str) -> Instance:
    """erfcx = exp(z^2) erfc(z), with 2 z erfcx - 2 / sqrt(pi), which cancels where z is large."""
    x = start(rng, TERMS, point)
    if point == "saturated":
        x = np.abs(x) / 20 * 10.0 ** rng.uniform(1, 4, size=TERMS)

    def slope(z: Values, a: Arithmetic) -> Values:
        return 2 * z * _erfcx(z, a) - 2 / a.sqrt(_pi(a))

    return summed(rng, x, _erfcx, slope)


_dawson = both(special.dawsn, lambda z: mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(-z * z) * mpmath.erfi(z))


@family("dawson", points=("random", "saturated", "zeros"))
def dawson(rng: np.random.Generator, point: str) -> Instance:
    """Dawson's integral F, with 1 - 2 z F."""
    return summed(rng, start(rng, TERMS, point, far=5.0), _dawson, lambda z, a: 1 - 2 * z * _dawson(z, a))


_j0 = both(special.j0, lambda z: mpmath.besselj(0, z))
_j1 = both(special.j1, lambda z: mpmath.besselj(1, z))


@family("bessel", points=("random", "saturated", "zeros"))
def bessel(rng: np.random.Generator, point: str) -> Instance:
    """J_0, with -J_1; arguments of a hundred where saturated."""
    return summed(rng, start(rng, TERMS, point, spread=3.0, far=100.0), _j0, lambda z, a: -_j1(z, a))


_airy = both(lambda z: special.airy(z)[0], mpmath.airyai)
_airy_slope = both(lambda z: special.airy(z)[1], lambda z: mpmath.airyai(z, derivative=1))


@family("airy", points=("random", "saturated", "zeros"))
def airy(rng: np.random.Generator, point: str) -> Instance:
    """Ai, with Ai'; it oscillates on one side and vanishes on the other."""
    return summed(rng, start(rng, TERMS // 3, point, spread=2.0, far=8.0), _airy, _airy_slope)


_struve0 = both(lambda z: special.struve(0, z), lambda z: mpmath.struveh(0, z))
_struve1 = both(lambda z: special.struve(1, z), lambda z: mpmath.struveh(1, z))


@family("struve", points=("random", "zeros"))
def struve(rng: np.random.Generator, point: str) -> Instance:
    """H_0, with 2 / pi - H_1."""
    return summed(rng, start(rng, TERMS, point, spread=3.0), _struve0, lambda z, a: 2 / _pi(a) - _struve1(z, a))


_lambert = both(lambda z: special.lambertw(z).real, lambda z: mpmath.lambertw(z).real)


@family("lambert", points=("random", "saturated", "boundary"))
def lambert(rng: np.random.Generator, point: str) -> Instance:
    """W(z), with W / (z (1 + W)); just above the branch point -1/e at the boundary."""
    x = positive(rng, point)
    if point == "boundary":
        x = x - np.exp(-1.0)

    def slope(z: Values, a: Arithmetic) -> Values:
        w = _lambert(z, a)
        return w / (z * (1 + w))

    return summed(rng, x, _lambert, slope, mixed=point != "boundary")


_e1 = both(special.exp1, mpmath.e1)


@family("exponential_integral", points=("random", "boundary"))
def exponential_integral(rng: np.random.Generator, point: str) -> Instance:
    """E_1, with -exp(-z) / z."""
    return summed(rng, positive(rng, point), _e1, lambda z, a: -a.exp(-z) / z)


_fresnel = both(lambda z: special.fresnel(z)[0], mpmath.fresnels)


@family("fresnel", points=("random", "saturated", "zeros"))
def fresnel(rng: np.random.Generator, point: str) -> Instance:
    """Fresnel's S, with sin(pi z^2 / 2); it oscillates ever faster where saturated."""
    x = start(rng, TERMS, point, far=8.0)
    return summed(rng, x, _fresnel, lambda z, a: a.sin(_pi(a) / 2 * z * z))


_ellipk, _ellipe = both(special.ellipk, mpmath.ellipk), both(special.ellipe, mpmath.ellipe)


@family("elliptic_integral", points=("random", "boundary"))
def elliptic_integral(rng: np.random.Generator, point: str) -> Instance:
    """K(m), with (E - (1 - m) K) / (2 m (1 - m)); m near 1 at the boundary."""
    x = rng.uniform(0.05, 0.9, size=TERMS)
    if point == "boundary":
        x = 1 - 10.0 ** rng.uniform(-4, -1, size=TERMS)

    def slope(m: Values, a: Arithmetic) -> Values:
        return (_ellipe(m, a) - (1 - m) * _ellipk(m, a)) / (2 * m * (1 - m))

    return summed(rng, x, _ellipk, slope, mixed=False)


_i0e = both(special.i0e, lambda z: mpmath.besseli(0, z) * mpmath.exp(-abs(z)))
_i1e = both(special.i1e, lambda z: mpmath.besseli(1, z) * mpmath.exp(-abs(z)))


@family("von_mises_likelihood", points=("random", "optimum", "saturated"))
def von_mises_likelihood(rng: np.random.Generator, point: str) -> Instance:
    """Angles of ten groups: log I_0(kappa) - kappa cos(y - mu), kappa = exp(w); kappa near 1000 where saturated."""
    groups, each = 10, 6
    y = rng.vonmises(0.5, 2.0, size=(each, groups))

    def value(w: Values, a: Arithmetic) -> Values:
        mu, kappa = w[:groups], a.exp(w[groups:])
        return (a.log(_i0e(kappa, a)) + kappa * (1 - a.cos(y - mu))).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        mu, kappa = w[:groups], a.exp(w[groups:])
        dmu = -(kappa * a.sin(y - mu)).sum(0)
        dkappa = (_i1e(kappa, a) / _i0e(kappa, a) - a.cos(y - mu)).sum(0)
        return np.append(dmu, dkappa * kappa) / (each * groups)

    x = np.append(rng.normal(size=groups), rng.normal(size=groups) + (7.0 if point == "saturated" else 0.0))
    return drawn(value, gradient, x, point)
