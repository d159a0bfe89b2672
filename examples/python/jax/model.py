"""Radial velocities of stars on Kepler orbits, in JAX: 1,024 stars a call."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)  # here, and not in fit.py: the process that simulates imports this file

time, velocity, error = np.loadtxt(Path(__file__).with_name("velocities.csv"), delimiter=",", skiprows=1).T


def velocity_of_one(theta):
    K, period, e, omega, mean_anomaly_at_0, offset = theta
    mean_anomaly = jnp.mod(2 * jnp.pi * time / period + mean_anomaly_at_0, 2 * jnp.pi)
    E = mean_anomaly + 0.85 * e * jnp.sign(jnp.sin(mean_anomaly))
    for _ in range(8):  # Newton's method, from a start (Danby 1987) from which it converges for e up to 0.95
        E = E - (E - e * jnp.sin(E) - mean_anomaly) / (1 - e * jnp.cos(E))
    true_anomaly = 2 * jnp.arctan2(jnp.sqrt(1 + e) * jnp.sin(E / 2), jnp.sqrt(1 - e) * jnp.cos(E / 2))
    return offset + K * (jnp.cos(true_anomaly + omega) + e * jnp.cos(omega))


velocities = jax.jit(jax.vmap(velocity_of_one))


def simulate(theta):
    """theta is [1024, 6], the answer [1024, times]."""
    return np.asarray(velocities(theta))
