"""Makes transit_table.csv, the values that the built-in `transit` model is held against.

    python -m venv /tmp/batman && /tmp/batman/bin/pip install batman-package==2.5.3 scipy==1.17.1
    /tmp/batman/bin/python models/tests/make_transit_table.py

Column `batman` is batman's flux (Kreidberg 2015, quadratic limb darkening, circular orbit). Column `integral` is the
same flux integrated over the star by adaptive quadrature. batman's formulas have a few points at which they are wrong
(the separation equal to the radius ratio, or to one minus it up to rounding): where the two differ by more than 1e-6
the `batman` column is left empty, and the script says so on standard error.
"""

import math
import random
import sys
from pathlib import Path

import batman
import numpy
from scipy.integrate import quad

LIMB_DARKENING = [(0.0, 0.0), (0.4, 0.25), (0.9, -0.3), (0.0, 0.8), (1.1, -0.15)]


def batman_flux(rp, a_rs, b, t0, u1, u2, period, time):
    parameters = batman.TransitParams()
    parameters.t0, parameters.per, parameters.rp, parameters.a = t0, period, rp, a_rs
    parameters.inc = math.degrees(math.acos(b / a_rs))
    parameters.ecc, parameters.w = 0.0, 90.0
    parameters.limb_dark, parameters.u = "quadratic", [u1, u2]
    model = batman.TransitModel(parameters, numpy.array([time]), max_err=0.01, transittype="primary")
    return float(model.light_curve(parameters)[0])


def separation(a_rs, b, t0, period, time):
    """In stellar radii; infinite while the planet is behind the star."""
    phase = (time - t0) / period
    angle = 2.0 * math.pi * (phase - round(phase))
    if math.cos(angle) <= 0.0:
        return math.inf
    return a_rs * math.hypot(math.sin(angle), b / a_rs * math.cos(angle))


def integral_flux(z, rp, u1, u2):
    if z >= 1.0 + rp:
        return 1.0

    def half_arc(x):
        """Half the angle of the circle of radius x that the planet hides."""
        if z == 0.0:
            return math.pi if x < rp else 0.0
        if x == 0.0:
            return math.pi if rp > z else 0.0
        return math.acos(min(1.0, max(-1.0, (x * x + z * z - rp * rp) / (2.0 * x * z))))

    def hidden(angle):
        x, mu = math.sin(angle), math.cos(angle)
        return (1.0 - u1 * (1.0 - mu) - u2 * (1.0 - mu) ** 2) * 2.0 * x * mu * half_arc(x)

    edges = {math.asin(x) for x in (abs(z - rp), min(1.0, z + rp)) if x <= 1.0} | {0.0, math.pi / 2.0}
    total = 0.0
    for low, high in zip(sorted(edges), sorted(edges)[1:]):
        width = high - low
        # Flattens the square-root ends of the interval.
        smooth = lambda s: hidden(low + width * (1.0 - math.cos(s)) / 2.0) * width * math.sin(s) / 2.0
        total += quad(smooth, 0.0, math.pi, epsabs=1e-13, epsrel=1e-13, limit=400)[0]
    return 1.0 - total / (math.pi * (1.0 - u1 / 3.0 - u2 / 6.0))


def cases():
    # Exact separations: at mid-transit z = b, and b / 8 is exact.
    for n, rp in enumerate([0.003, 0.05, 0.1, 0.3, 0.5, 0.7, 0.95]):
        edge = [0.0, 1e-7, rp / 2, rp, rp - 1e-6, rp + 1e-6, abs(1 - rp), abs(1 - rp - 1e-7), 1 - rp + 1e-7,
                1 - rp + 1e-11, 0.5, 1.0, 1 + rp - 1e-4, 1 + rp - 1e-9, 1 + rp, 1 + rp + 1e-6]
        for k, b in enumerate(edge):
            for shift in (0, 2):
                yield (rp, 8.0, b, 0.5, *LIMB_DARKENING[(n + k + shift) % 5], 3.5, 0.5)
    # Whole orbits: ingress, egress, out of transit, behind the star, many periods away.
    for rp, a_rs, b, t0, period, u in [
        (0.1, 15.23, 0.3, 1.25, 3.7, (0.4, 0.25)),
        (0.15, 4.0, 0.0, -0.4, 1.2, (0.9, -0.3)),
        (0.5, 3.0, 0.2, 0.0, 2.0, (0.3, 0.2)),
        (0.2, 9.0, 1.1, 2.0, 5.0, (0.6, 0.1)),
        (0.05, 2.5, 0.95, 0.1, 0.8, (0.2, 0.5)),
    ]:
        half = period / (2.0 * math.pi) * math.asin(min(1.0, (1.0 + rp) / a_rs))
        for k in range(17):
            yield (rp, a_rs, b, t0, *u, period, t0 + half * (k - 8) / 7.5)
        for phase in (0.25, 0.4, 0.5, 0.501, -0.5, 0.75, 0.9):
            yield (rp, a_rs, b, t0, *u, period, t0 + phase * period)
        yield (rp, a_rs, b, t0, *u, period, t0 + 211.0 * period + 0.3 * half)
    # Anywhere.
    draw = random.Random(20).uniform
    for _ in range(150):
        rp, a_rs, period = draw(0.01, 0.6), draw(2.0, 30.0), draw(0.5, 20.0)
        b, t0 = draw(0.0, 1.0 + rp), draw(-5.0, 5.0)
        half = period / (2.0 * math.pi) * math.asin((1.0 + rp) / a_rs)
        q1, q2 = draw(0.0, 1.0), draw(0.0, 1.0)  # Kipping (2013): everything physical
        u1, u2 = 2.0 * math.sqrt(q1) * q2, math.sqrt(q1) * (1.0 - 2.0 * q2)
        yield (rp, a_rs, b, t0, u1, u2, period, t0 + draw(-1.1, 1.1) * half)


def main():
    rows = ["rp,aRs,b,t0,u1,u2,period,t,batman,integral"]
    for case in cases():
        rp, a_rs, b, t0, u1, u2, period, time = case
        integral = integral_flux(separation(a_rs, b, t0, period, time), rp, u1, u2)
        peer = batman_flux(*case)
        agrees = abs(peer - integral) < 1e-6
        if not agrees:
            print(f"batman gives {peer}, the integral {integral} at {case}", file=sys.stderr)
        rows.append(",".join([*map(repr, map(float, case)), repr(peer) if agrees else "", repr(integral)]))
    # Not standard output: batman prints its own complaints there.
    Path(__file__).with_name("transit_table.csv").write_text("\n".join(rows) + "\n")


main()
