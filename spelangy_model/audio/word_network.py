"""The compiled inner loops of ROVER: align the words of N systems into slots, and score the entries of a slot.

Put here: the work that ROVER does for each word or cell, on numbers alone. Do not put here: the rules (rover.py states
them), words as objects, or anything that callers other than rover.py need.

Flat arrays hold the words of all systems, one system after another; the words of system s are `offsets[s]` to
`offsets[s + 1]`, in order of time. A slot is a row of word indices, one for each system; NOTHING for a silent system.

Import this module inside a function, because it loads numba. Compiled code is cached beside the module, or in the
user's cache folder if the module's folder is not writable; only the very first call takes the seconds of compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

COMMON_SILENCE_S = 1.0
NOTHING = -1
METHODS = ("meth1", "maxconf", "avgconf")

# Costs in thousandths, so that sums are exact. Without times, costs are in ones and single precision, as in SCTK.
SUBSTITUTE, GAP, BESIDE_NOTHING, PASS_NOTHING = 4000, 3000, 1000, 1
_ONE = 1000
TIME_CAP = 500
REACH_MS = 10_000
_FAR = float(1 << 60)
_FIRST_SLACK = 8 * GAP

_PAIR, _OPEN, _PASS = 0, 1, 2
_MAXCONF, _AVGCONF = METHODS.index("maxconf"), METHODS.index("avgconf")


def _compiled(function: Callable[..., Any]) -> Any:
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # no folder is writable as a cache: each process compiles again
        return numba.njit(function)


@_compiled
def network(keys: np.ndarray, starts_s: np.ndarray, ends_s: np.ndarray, offsets: np.ndarray, times: bool) -> np.ndarray:
    """Return the slots of the words, int64 (slots, systems); equal `keys` are equal words (int64, from 0)."""
    systems = len(offsets) - 1
    found = np.full((len(keys), systems), NOTHING, np.int64)
    count = 0
    begin, end = offsets[:-1].copy(), offsets[:-1].copy()
    reached = np.inf
    while True:
        # The next word of any system. After a long silence of all systems, the words before it are a part.
        earliest = NOTHING
        for system in range(systems):
            at = end[system]
            if at < offsets[system + 1] and (earliest == NOTHING or starts_s[at] < starts_s[end[earliest]]):
                earliest = system
        if earliest == NOTHING or starts_s[end[earliest]] - reached >= COMMON_SILENCE_S:
            slots = np.empty((0, 0), np.int64)
            for system in range(systems):
                slots = join(slots, keys, starts_s, ends_s, begin[system], end[system], times)
            for i in range(len(slots)):
                for system in range(systems):
                    found[count, system] = slots[i, system]
                count += 1
            for system in range(systems):
                begin[system] = end[system]
        if earliest == NOTHING:
            return found[:count]
        word_end_s = ends_s[end[earliest]]
        reached = word_end_s if reached == np.inf else max(reached, word_end_s)
        end[earliest] += 1


@_compiled
def join(
    slots: np.ndarray, keys: np.ndarray, starts_s: np.ndarray, ends_s: np.ndarray, begin: int, end: int, times: bool
) -> np.ndarray:
    """Align the words `begin` to `end` of one more system with the slots of others, and return all systems' slots."""
    (n, systems), m = slots.shape, end - begin
    slot_ms, word_ms = np.empty(n, np.int64), np.empty(m, np.int64)
    for i in range(n):
        total = spoken = 0.0
        for system in range(systems):
            word = slots[i, system]
            if word != NOTHING:
                total += starts_s[word] + ends_s[word]
                spoken += 1
        slot_ms[i] = np.rint(500 * total / spoken)
    for j in range(m):
        word_ms[j] = np.rint(500 * (starts_s[begin + j] + ends_s[begin + j]))
    paired = _align(slots, slot_ms, keys, word_ms, begin, times)
    ahead = np.full(m + 1, n, np.int64)  # the slot of a word, or of the next one that has a slot
    for j in range(m - 1, -1, -1):
        ahead[j] = ahead[j + 1] if paired[j] == NOTHING else paired[j]
    merged = np.full((n + m, systems + 1), NOTHING, np.int64)
    count = i = 0
    for j in range(m + 1):
        alone = j < m and paired[j] == NOTHING
        while i < ahead[j] and (not alone or slot_ms[i] <= word_ms[j]):  # without a pair, time decides
            for system in range(systems):
                merged[count, system] = slots[i, system]
            count, i = count + 1, i + 1
        if j < m:
            if not alone:
                for system in range(systems):
                    merged[count, system] = slots[i, system]
                i += 1
            merged[count, systems] = begin + j
            count += 1
    return merged[:count]


@_compiled
def _align(
    slots: np.ndarray, slot_ms: np.ndarray, keys: np.ndarray, word_ms: np.ndarray, begin: int, times: bool
) -> np.ndarray:
    """Return the slot of each word in an alignment of the least cost, or NOTHING.

    Dynamic programming, after E. Ukkonen ("Algorithms for approximate string matching", 1985): it computes only the
    cells that an alignment of at most a given cost can cross, and raises that cost until such an alignment exists. The
    numbers of slots and words before and after a cell give a lower bound of the cost through it.
    """
    (n, systems), m = slots.shape, len(word_ms)
    paired = np.full(m, NOTHING, np.int64)
    if n == 0 or m == 0:
        return paired
    # The distinct keys of a slot's entries, the word that opened the slot first; NOTHING for nothing.
    arcs, arc_counts = np.empty((n, systems + 1), np.int64), np.zeros(n, np.int64)
    nulls = np.zeros(n + 1, np.int64)  # of the slots before each slot, how many hold nothing for some system
    for i in range(n):
        count = 0
        if slots[i, 0] == NOTHING:
            for system in range(1, systems):
                if slots[i, system] != NOTHING:
                    arcs[i, 0], count = keys[slots[i, system]], 1
                    break
        nulls[i + 1] = nulls[i]
        for system in range(systems):
            key = NOTHING if slots[i, system] == NOTHING else keys[slots[i, system]]
            fresh = True
            for other in range(count):
                fresh = fresh and arcs[i, other] != key
            if fresh:
                arcs[i, count] = key
                count += 1
                nulls[i + 1] += key == NOTHING
        arc_counts[i] = count

    one = 1.0 if times else 1.0 / _ONE
    substitute, gap, beside_nothing = SUBSTITUTE * one, GAP * one, BESIDE_NOTHING * one
    pass_nothing = PASS_NOTHING * one if times else float(np.float32(PASS_NOTHING * one))
    slack = _FIRST_SLACK
    low, high = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    first = np.zeros(n + 2, np.int64)  # where the cells of each row begin in `best`, and its moves in `moves`
    first_move = np.zeros(n + 2, np.int64)
    while True:
        limit = _least(0, 0, n, m, nulls) + slack
        at = 0
        for i in range(n + 1):
            # Each row has a cell on the path of the least lower bound; the row's cells are around it.
            while at > 0 and _least(i, at - 1, n, m, nulls) <= limit:
                at -= 1
            while _least(i, at, n, m, nulls) > limit:
                at += 1
            low[i] = high[i] = at
            while high[i] < m and _least(i, high[i] + 1, n, m, nulls) <= limit:
                high[i] += 1
            width = high[i] - low[i] + 1
            first[i + 1] = first[i] + width
            first_move[i + 1] = first_move[i] + width * (arc_counts[i - 1] if i else 1)
        best, moves = np.zeros(first[n + 1], np.int16), np.full(first_move[n + 1], _OPEN, np.uint8)
        above, costs, left = np.full(m + 1, _FAR), np.full(m + 1, _FAR), np.empty(systems + 1)
        for j in range(high[0] + 1):
            above[j] = j * gap
        for i in range(1, n + 1):
            for j in range(m + 1):
                costs[j] = _FAR
            for arc in range(systems + 1):
                left[arc] = _FAR
            for j in range(low[i], high[i] + 1):
                pair_from, pass_from, word = _FAR, above[j], NOTHING
                if j:
                    pair_from, word = above[j - 1], keys[begin + j - 1]
                    if times:
                        apart = abs(word_ms[j - 1] - slot_ms[i - 1])
                        pair_from = pair_from + min(apart, TIME_CAP) if apart <= REACH_MS else _FAR
                least, least_arc = _FAR, 0
                cell = first_move[i] + (j - low[i]) * arc_counts[i - 1]
                for arc in range(arc_counts[i - 1]):
                    key = arcs[i - 1, arc]
                    if key == NOTHING:
                        cost, skip = pair_from + beside_nothing, pass_from + pass_nothing
                    else:
                        cost, skip = pair_from + (0.0 if key == word else substitute), pass_from + gap
                    opened = left[arc] + gap
                    if not times:
                        cost, skip, opened = float(np.float32(cost)), float(np.float32(skip)), float(np.float32(opened))
                    move = _PAIR
                    if cost > skip or cost > opened:
                        cost, move = (skip, _PASS) if skip < opened else (opened, _OPEN)
                    cost = min(cost, _FAR)
                    left[arc] = cost
                    moves[cell + arc] = move
                    if cost < least:
                        least, least_arc = cost, arc
                costs[j] = least
                best[first[i] + j - low[i]] = least_arc
            above, costs = costs, above
        # Rounded costs need a margin: every path of about the least cost must be inside the computed cells.
        if (above[m] if times else above[m] * _ONE + GAP) <= limit:
            break
        slack *= 2

    i, j, arc = n, m, NOTHING
    while i or j:
        if arc == NOTHING:
            arc = best[first[i] + j - low[i]]
        width = arc_counts[i - 1] if i else 1
        move = moves[first_move[i] + (j - low[i]) * width + arc]
        if move != _OPEN:
            i, arc = i - 1, NOTHING
        if move != _PASS:
            j -= 1
        if move == _PAIR:
            paired[j] = i
    return paired


@_compiled
def _least(i: int, j: int, n: int, m: int, nulls: np.ndarray) -> int:
    """Return a lower bound of the cost through a cell: surplus words open slots, surplus slots are skipped."""
    before = j - i if j >= i else max(i - j - nulls[i], 0)
    words, slots = m - j, n - i
    after = words - slots if words >= slots else max(slots - words - (nulls[n] - nulls[i]), 0)
    return GAP * (before + after)


@_compiled
def vote(
    slots: np.ndarray,
    keys: np.ndarray,
    written: np.ndarray,
    confidences: np.ndarray,
    trust: np.ndarray,
    alpha: float,
    null_confidence: float,
    method: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the winning word of each slot, int64 (slots,), its confidence, and the systems that agree with it.

    `written` (int64, of the systems) is the order of trust in spelling: the first system that has the winner supplies
    its word. `trust` (float64) is the weight of each system, `method` the index in METHODS. The systems that agree with
    a winner, nothing included, are bool (slots, systems).
    """
    count, systems = slots.shape
    winners, means = np.full(count, NOTHING, np.int64), np.zeros(count)
    agreeing = np.zeros((count, systems), np.bool_)
    all_trust = 0.0
    for system in range(systems):
        all_trust += trust[system]
    groups, belief = np.empty(systems, np.int64), np.empty(systems)
    for i in range(count):
        group_count = 0  # groups of systems with the same word; systems with no word are in group NOTHING
        for system in range(systems):
            groups[system] = NOTHING
            word = slots[i, system]
            belief[system] = null_confidence if word == NOTHING else trust[system] * confidences[word]
            if word != NOTHING:
                for other in range(system):
                    if groups[other] != NOTHING and keys[slots[i, other]] == keys[word]:
                        groups[system] = groups[other]
                        break
                if groups[system] == NOTHING:
                    groups[system] = group_count
                    group_count += 1
        all_belief = 0.0
        for system in range(systems):
            all_belief += belief[system]
        winner, best_score, best_share, members = NOTHING, -np.inf, -np.inf, 0
        for group in range(NOTHING, group_count):
            size = 0
            total = most = shared = 0.0
            for system in range(systems):
                if groups[system] == group:
                    total, most = total + belief[system], max(most, belief[system]) if size else belief[system]
                    shared += trust[system]
                    size += 1
            if size == 0:
                continue
            confidence = total / size
            if method == _MAXCONF:
                confidence = most
            elif method == _AVGCONF:
                confidence = total / all_belief if all_belief else 0.0
            share = shared / all_trust
            # Rounded, so that another order of summation cannot break a tie.
            score = np.rint(1e9 * (alpha * share + (1 - alpha) * confidence))
            share = np.rint(1e9 * share)
            even = score == best_score and share == best_share
            if score > best_score or (score == best_score and share > best_share) or (even and winner == NOTHING):
                winner, best_score, best_share, members = group, score, share, size
        for system in range(systems):
            agreeing[i, system] = groups[system] == winner
        if winner == NOTHING:
            continue
        total = 0.0
        for place in range(systems):
            system = written[place]
            if groups[system] == winner:
                word = slots[i, system]
                total += confidences[word]
                if winners[i] == NOTHING:
                    winners[i] = word
        means[i] = total / members
    return winners, means, agreeing
