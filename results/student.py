"""Student's t and the incomplete beta function, in plain Python: an interval needs no scipy at run time."""

from __future__ import annotations

import math

_TINY = 1e-300
_CONVERGED = 1e-16
_LARGE = 10.0


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b): the CDF of a Beta(a, b) variable at ``x``.

    Continued fraction of DiDonato and Morris (1992, their BFRAC), evaluated by Lentz's method
    as modified by Thompson and Barnett (1986).

    Args:
        x: between 0 and 1.
        a: first shape, positive.
        b: second shape, positive.

    Returns:
        A probability, to about 1e-12 relative for shapes up to 1e6.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_shapes(a, b)
    _check_unit("x", x)
    if x in {0.0, 1.0}:
        return x
    return _lower(x, a, b) if x <= a / (a + b) else 1.0 - _lower(1.0 - x, b, a)


def beta_quantile(p: float, a: float, b: float) -> float:
    """Inverse of :func:`beta_cdf` in ``x``: the ``p`` quantile of a Beta(a, b) variable.

    Newton's method on log I against log x, where I is nearly a straight line, kept inside a
    bracket by bisection.

    Args:
        p: a probability, between 0 and 1.
        a: first shape, positive.
        b: second shape, positive.

    Returns:
        ``x`` between 0 and 1, to about 1e-12 relative. 0 where the quantile is below the smallest float.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_shapes(a, b)
    _check_unit("p", p)
    if p in {0.0, 1.0}:
        return p
    mean = a / (a + b)
    # The continued fraction converges below the mean; above it the other tail is solved.
    if p <= _lower(mean, a, b):
        return _solve_lower(p, a, b, mean)
    return 1.0 - _solve_lower(1.0 - p, b, a, 1.0 - mean)


def t_quantile(p: float, df: float) -> float:
    """Quantile of Student's t distribution.

    With T ~ t(df), T² / (df + T²) ~ Beta(1/2, df/2) (Johnson, Kotz and Balakrishnan 1995,
    volume 2, chapter 28).

    Args:
        p: a probability, strictly between 0 and 1.
        df: degrees of freedom, positive; need not be whole (Welch).

    Returns:
        The ``t`` with P(T <= t) = p, to 1e-9 relative for ``df`` up to 1e6.

    Raises:
        ValueError: an argument is out of its range.
    """
    if not 0.0 < p < 1.0:
        raise ValueError(f"p is {p}; it must be strictly between 0 and 1")
    if not 0.0 < df < math.inf:
        raise ValueError(f"df is {df}; it must be positive and finite")
    if p == 0.5:
        return 0.0
    tail = 2.0 * min(p, 1.0 - p)
    # Solve from the side whose probability is small, or 1 - p would lose the digits that matter.
    if tail > 0.5:
        near = beta_quantile(abs(2.0 * p - 1.0), 0.5, 0.5 * df)
        t = math.sqrt(df * near / (1.0 - near))
    else:
        far = beta_quantile(tail, 0.5 * df, 0.5)
        t = math.sqrt(df * (1.0 - far)) / math.sqrt(far) if far > 0.0 else math.inf
    return t if p > 0.5 else -t


def binomial_interval(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval for a proportion (Clopper and Pearson 1934).

    Both counts may be fractional, as they are when the trials are an effective sample size
    (Korn and Graubard 1998).

    Args:
        successes: between 0 and ``trials``.
        trials: positive.
        confidence: such as 0.95.

    Returns:
        Lower and upper limit, both within 0 to 1.

    Raises:
        ValueError: an argument is out of its range.
    """
    if not 0.0 <= successes <= trials or trials <= 0.0:
        raise ValueError(f"{successes} successes of {trials} trials: need 0 <= successes <= trials and trials > 0")
    alpha = 1.0 - check_confidence(confidence)
    failures = trials - successes
    low = beta_quantile(alpha / 2.0, successes, failures + 1.0) if successes > 0.0 else 0.0
    high = 1.0 - beta_quantile(alpha / 2.0, failures, successes + 1.0) if failures > 0.0 else 1.0
    return low, high


def check_confidence(confidence: float) -> float:
    """Return ``confidence`` as it is, or raise ValueError if it is not strictly between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it must be strictly between 0 and 1, such as 0.95")
    return confidence


def _check_shapes(a: float, b: float) -> None:
    if not (0.0 < a < math.inf and 0.0 < b < math.inf):
        raise ValueError(f"beta shapes are {a} and {b}; both must be positive and finite")


def _check_unit(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is {value}; it must be between 0 and 1")


def _lower(x: float, a: float, b: float) -> float:
    """I_x(a, b) for x at or below the mean a / (a + b), where the continued fraction converges fast."""
    return math.exp(_log_front(x, a, b)) / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """Denominator F of I_x(a, b) = x^a (1-x)^b / (B(a, b) F); DiDonato and Morris (1992), equation 9."""
    y = 1.0 - x
    lam = a - (a + b) * x
    f = a * (lam + 1.0) / (a + 1.0)
    f = f if abs(f) > _TINY else _TINY
    c, d = f, 0.0
    for n in range(1, 100_000):
        odd = a + 2.0 * n - 1.0
        alpha = (a + n - 1.0) * (a + b + n - 1.0) * n * (b - n) * x * x / (odd * odd)
        beta = n + n * (b - n) * x / odd + (a + n) / (odd + 2.0) * (lam + 1.0 + n * (1.0 + y))
        d = beta + alpha * d
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = beta + alpha / c
        c = c if abs(c) > _TINY else _TINY
        f *= c * d
        if abs(c * d - 1.0) < _CONVERGED:
            break
    return f


def _log_front(x: float, a: float, b: float) -> float:
    """Log of x^a (1-x)^b / B(a, b), without subtracting large log-gammas from each other."""
    small, large = min(a, b), max(a, b)
    if small >= _LARGE:
        mean = a / (a + b)
        return (
            a * math.log1p((x - mean) / mean)
            + b * math.log1p((mean - x) / (1.0 - mean))
            + 0.5 * math.log(a * b / (2.0 * math.pi * (a + b)))
            - (_stirling(a) + _stirling(b) - _stirling(a + b))
        )
    log_powers = a * (math.log(x) if x < 0.5 else math.log1p(x - 1.0)) + b * math.log1p(-x)
    if large < _LARGE:
        return log_powers - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    total = a + b
    rise = (large - 0.5) * math.log1p(small / large) + small * (math.log(total) - 1.0)
    return log_powers - math.lgamma(small) + rise + _stirling(total) - _stirling(large)


def _stirling(z: float) -> float:
    """What Stirling's formula for log-gamma leaves out, for z >= 10 (Abramowitz and Stegun 1964, 6.1.41)."""
    w = 1.0 / (z * z)
    return (1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w * (1.0 / 1680.0 - w / 1188.0)))) / z


def _solve_lower(p: float, a: float, b: float, high: float) -> float:
    """The x <= high with I_x(a, b) = p, where I_high(a, b) >= p."""
    log_p = math.log(p)
    floor, ceiling = -744.0, math.log(high)
    u = ceiling
    for _ in range(200):
        x = math.exp(u)
        fraction = _fraction(x, a, b)
        gap = _log_front(x, a, b) - math.log(fraction) - log_p
        if gap > 0.0:
            ceiling = min(ceiling, u)
        else:
            floor = max(floor, u)
        # d log I / d log x = x * density / I = fraction / (1 - x), as the prefactor cancels.
        step = gap * (1.0 - x) / fraction
        if abs(step) < 1e-15 * max(1.0, abs(u)) or ceiling - floor < 1e-15:
            break
        u = u - step if floor < u - step < ceiling else 0.5 * (floor + ceiling)
    return math.exp(u) if u > -744.0 + 1e-9 else 0.0
