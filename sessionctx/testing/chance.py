"""Chance, repeatable: distributions of seconds and rates, and dice that depend on a seed and on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Final, TypeAlias

Chance: TypeAlias = "float | Callable[[Random], float]"
"""A number, or what draws one: any callable that takes a `random.Random`."""

__all__ = ["Chance", "coin", "dice", "draw", "harmonic_mean", "lognormal", "uniform"]

DRAWS: Final = 1000
"""How many draws tell the mean of a distribution that is a callable."""


def uniform(low: float, high: float) -> Chance:
    """Anything from *low* to *high*, each as likely."""
    return lambda random: random.uniform(low, high)


def lognormal(median: float, sigma: float) -> Chance:
    """Half of all draws below *median*, with a long tail above it; *sigma* is the deviation of the logarithm.

    Times and rates on the internet look like this: one of twenty draws
    is over 2.3 times the median with 0.5, and over 5.2 times with 1.0.
    """
    return lambda random: median * random.lognormvariate(0.0, sigma)


def draw(chance: Chance, random: Random) -> float:
    """Return a number of this distribution; never less than 0."""
    return max(chance(random), 0.0) if callable(chance) else chance


def harmonic_mean(chance: Chance) -> float:
    """Return the mean of rates that each carry as many bytes: what they come to in the long run."""
    if not callable(chance):
        return chance
    random = Random(0)  # noqa: S311
    return DRAWS / sum(1.0 / draw(chance, random) for _ in range(DRAWS))


def dice(seed: int, *what: object) -> Random:
    """Return the dice for one thing, such as the second request for a block to a peer.

    They depend on the arguments alone: whatever else happens, in whatever order, does not change them.
    """
    return Random(f"{seed} {what}")  # noqa: S311 - to be repeated, not to be secret


def coin(share: float, seed: int, name: bytes) -> bool:
    """Whether *name* is among a *share* of all names, others for each *seed* (below 2**64). Quicker than dice."""
    digest = blake2b(name, key=seed.to_bytes(8), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64
