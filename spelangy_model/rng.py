"""The only source of randomness of the project.

Put here: functions that turn a seed and stable keys into a generator. Do not put here: draws.
The code that needs a draw makes it with a generator of this module. So the same recipe gives the same bytes for any
order, process or worker of the draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

Key = str | int


def stable_seed(seed: int, *keys: Key) -> int:
    """Return 128 bits that depend on `seed` and `keys` alone (SHA-256 of their typed, length-prefixed form).

    Raises TypeError for a key that is neither `str` nor `int`: a float or an object has no stable text.
    """
    digest = hashlib.sha256()
    for key in (seed, *keys):
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise TypeError(f"a key of stable_rng is a str or an int, not {type(key).__name__}: {key!r}")
        # Not type(key) and format(): a subclass (np.str_, an enum) that equals a plain key must draw as it does.
        encoded = (f"str:{str.__str__(key)}" if isinstance(key, str) else f"int:{int.__repr__(key)}").encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return int.from_bytes(digest.digest()[:16], "big")


def stable_rng(seed: int, *keys: Key) -> np.random.Generator:
    """Return a NumPy generator that depends on `seed` and `keys` alone, for example (seed, "quest", document_id)."""
    return np.random.Generator(np.random.PCG64(stable_seed(seed, *keys)))


def stable_hash(*keys: Key) -> str:
    """Return 32 hexadecimal digits that identify `keys`: the way ids are derived from ids."""
    return f"{stable_seed(0, *keys):032x}"


def stable_codes(ids: Iterable[str]) -> np.ndarray:
    """Return a number (uint64) for each id, which depends on the id alone: what `stable_order` sorts by."""
    digests = b"".join(hashlib.blake2b(one.encode(), digest_size=8).digest() for one in ids)
    return np.frombuffer(digests, "<u8")


def stable_order(codes: np.ndarray, seed: int, *keys: Key) -> np.ndarray:
    """Return a permutation of the things, drawn by `seed` and `keys`.

    `codes` (n,) uint64 are those of the things' ids (`stable_codes`). The order of two things does not depend on the
    others: it depends on their codes, the seed and the keys alone. Equal codes keep the order in which they were given.
    """
    key = stable_seed(seed, *keys)
    with np.errstate(over="ignore"):
        mixed = codes + np.uint64(key & 0xFFFFFFFFFFFFFFFF)
        mixed ^= np.uint64(key >> 64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64 (Steele et al., 2014)
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    return np.argsort(mixed, kind="stable")
