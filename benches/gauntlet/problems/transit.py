"""Relative flux of a star with a planet in front, as the built-in model `transit` has it (models/src/transit.rs, occultation.rs), vectorized.

Mandel & Agol 2002 with quadratic limb darkening, in the form of Agol, Luger & Foreman-Mackey 2020.
"""
import numpy as np


def transit(theta, times, period):
    """[n, 6] (rp, aRs, b, t0, u1, u2) -> [n, times]"""
    rp, a_rs, b, t0, u1, u2 = theta.T[:, :, None]
    phase = (times - t0) / period
    angle = 2 * np.pi * (phase - np.round(phase))
    sin, cos = np.sin(angle), np.cos(angle)
    separation = a_rs * np.hypot(sin, b / a_rs * cos)
    hidden = (cos > 0) & (separation < 1 + rp)
    flux = np.ones_like(separation)
    radius, u1, u2 = (np.broadcast_to(value, hidden.shape)[hidden] for value in (rp, u1, u2))
    # The formulas have no value where the discs touch from within and where the star's centre is on the planet's edge; beside it they do.
    z = separation[hidden]
    s0, s1, s2 = visible(np.where((z == radius) | (z == 1 - radius), z + 1e-12, z), radius)
    seen = (1 - u1 - 1.5 * u2) * s0 + (u1 + 2 * u2) * s1 - 0.25 * u2 * s2
    flux[hidden] = seen / (np.pi * (1 - u1 / 3 - u2 / 6))
    return flux


def visible(z, r):
    """Integrals of 1, mu and 4 mu² - 2 over what is left of the star; planets are smaller than the star's half."""
    eta = 0.5 * r**2 * (r**2 + 2 * z**2)
    s0 = np.pi * (1 - r**2)
    s2 = 2 * s0 + 4 * np.pi * (eta - 0.5)
    edge = z > 1 - r
    s0[edge], s2[edge] = visible_at_the_edge(z[edge], r[edge], eta[edge])
    s1 = np.empty_like(z)
    s1[edge], s1[~edge] = linear_at_the_edge(z[edge], r[edge]), linear_within(z[~edge], r[~edge])
    return s0, s1, s2


def visible_at_the_edge(z, r, eta):
    c, b, a = np.sort([np.ones_like(z), z, r], axis=0)
    kite = np.sqrt(np.maximum((a + (b + c)) * (c - (a - b)) * (c + (a - b)) * (a + (b - c)), 0))
    kappa_0 = np.arctan2(kite, (r - 1) * (r + 1) + z**2)
    kappa_1 = np.arctan2(kite, (1 - r) * (1 + r) + z**2)
    s0 = np.pi - kappa_1 - r**2 * kappa_0 + 0.5 * kite
    lens = -(np.pi - kappa_1) + 2 * eta * kappa_0 - 0.25 * kite * (1 + 5 * r**2 + z**2)
    return s0, 2 * s0 + 2 * lens


def linear_within(z, r):
    sum_squared, difference_squared = (1 - r - z) * (1 + z + r), (1 - r + z) * (1 + r - z)
    kc = np.sqrt(sum_squared / difference_squared)
    q = (z - r) / (z + r)
    mu = 3 * q / difference_squared
    p = q**2 * sum_squared / difference_squared
    third = complete_elliptic(kc, p, 1 + mu, p + mu)
    first = sum_squared * third - (4 - 7 * r**2 - z**2) * complete_elliptic(kc, 1.0, 1.0, kc**2)
    return (np.where(r > z, 0.0, 2 * np.pi) - 2 / 3 * np.sqrt(difference_squared) * first) / 3


def linear_at_the_edge(z, r):
    sum_squared, difference_squared = (1 - r - z) * (1 + z + r), (1 - r + z) * (1 + r - z)
    kc2 = -sum_squared / (4 * z * r)
    kc = np.sqrt(kc2)
    third = complete_elliptic(kc, (z - r) ** 2 * kc2, 0.0, 3 * kc2 * (z - r) * (z + r))
    rest = (-3 + 6 * r**2 + 2 * z * r) * complete_elliptic(kc, 1.0, 1.0, 0.0) - 4 * z * r * complete_elliptic(kc, 1.0, 1.0, kc2)
    return (2 * np.pi - difference_squared * (third + rest) / (3 * np.sqrt(z * r))) / 3


def complete_elliptic(kc, p, a, b):
    """Bulirsch's general complete elliptic integral (1969)."""
    p = np.sqrt(p)
    e, m, b = kc, 1.0, b / p
    for _ in range(12):
        a, b, g = a + b / p, 2 * (b + a * e / p), e / p
        p = p + g
        last, m = m, m + kc
        if np.all(np.abs(last - kc) <= last * 1e-8):
            break
        kc = 2 * np.sqrt(e)
        e = kc * m
    return np.pi / 2 * (a * m + b) / (m * (m + p))
