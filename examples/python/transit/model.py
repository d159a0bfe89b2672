"""Relative flux of a star with a planet in front of it, by batman (Kreidberg 2015)."""

from pathlib import Path

import batman
import numpy as np

TIMES = np.loadtxt(Path(__file__).with_name("light_curve.csv"), delimiter=",", skiprows=1, usecols=0)  # days

star = batman.TransitParams()
star.t0, star.per, star.rp, star.a, star.inc = 0.0, 3.5, 0.1, 8.5, 88.0
star.ecc, star.w = 0.0, 90.0
star.limb_dark, star.u = "quadratic", [0.4, 0.25]
transit = batman.TransitModel(star, TIMES)


def simulate(theta):
    """Without noise, at TIMES: the campaign's parameters in their order, the fixed one among them."""
    star.t0, star.per, star.rp, star.a, b, q1, q2 = theta
    star.inc = np.degrees(np.arccos(b / star.a))
    # Kipping (2013): every q1, q2 in the unit square is a star that darkens towards its limb.
    star.u = [2 * np.sqrt(q1) * q2, np.sqrt(q1) * (1 - 2 * q2)]
    return transit.light_curve(star)
