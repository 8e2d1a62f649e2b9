"""How many examples a property gets: what it can afford at each change, and in proportion when the search goes deep."""

from __future__ import annotations

from hypothesis import settings

FAST = 100  # what the profile of every change gives to a property that says nothing


def examples(count: int) -> settings:
    """So many in the fast profile; in others as many times more as the profile has, up to what it gives to all."""
    most = settings.default.max_examples
    return settings(max_examples=max(1, min(count * most // FAST, max(count, most))))
