"""ROVER gives, word for word, what NIST's own program gives where the settings are the same (times off)."""

import itertools
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spelangy_model.audio import word_network
from spelangy_model.audio.ctm import write_ctm
from spelangy_model.audio.rover import Method, RoverWeights, rover
from spelangy_model.audio.word_network import NOTHING
from spelangy_model.records import Word

VOCABULARY = tuple("abcdefghijklmnopqrstuvwxyz")


def sctk_rover() -> str:
    found = shutil.which("rover") or shutil.which("rover", path="/usr/lib/sctk/bin")
    if not found:
        pytest.skip("NIST SCTK's rover is not installed: apt-get install sctk")
    return found


def corrupted(rng: random.Random, truth: list[str], wrong: float) -> list[Word]:
    """What a system that errs in a share `wrong` of the words makes of `truth`, ten words a second.

    All systems end with the same word, for the program cuts what the others say once the first has ended, in the middle
    of speech; and no gap comes near to the second of common silence at which both cut.
    """
    words = []
    for place, word in enumerate(truth):
        draw = rng.random()
        spoken = [word]
        if draw < wrong / 3:
            spoken = []
        elif draw < 2 * wrong / 3:
            spoken = [rng.choice(VOCABULARY)]
        elif draw < wrong:
            spoken = [word, rng.choice(VOCABULARY)]
        for part, text in enumerate(spoken):
            start_s = 0.1 * place + 0.04 * part
            words.append(Word(text, round(start_s, 3), round(start_s + 0.03, 3), round(rng.uniform(0.001, 0.999), 6)))
    return [*words, Word("end", 0.1 * len(truth), 0.1 * len(truth) + 0.03, 0.9)]


def files(seed: int, systems: int, count: int) -> list[dict[str, list[Word]]]:
    rng = random.Random(seed)
    found: list[dict[str, list[Word]]] = [{} for _ in range(systems)]
    for index in range(count):
        truth = [rng.choice(VOCABULARY) for _ in range(rng.randint(1, 30))]
        for system in found:
            system[f"f{index:04d}"] = corrupted(rng, truth, rng.choice([0.1, 0.3, 0.6]))
    return found


def full_table(number: Any) -> Any:
    """Return a maker of networks that computes every cell of every arc, as SCTK does, with sums of a type of number."""

    def aligned(slots: list[list[int]], keys: list[int], words: range) -> list[tuple[int, int]]:
        def entries(slot: list[int]) -> list[int]:
            spoken = [NOTHING if word == NOTHING else keys[word] for word in slot]
            return list(dict.fromkeys([next(key for key in spoken if key != NOTHING), *spoken]))

        arcs = [[NOTHING], *map(entries, slots)]
        cost: dict[tuple[int, int, int], Any] = {}
        move: dict[tuple[int, int, int], str] = {}

        def best(i: int, j: int) -> int:
            return min(range(len(arcs[i])), key=lambda arc: cost[i, j, arc])

        for i, j in itertools.product(range(len(arcs)), range(len(words) + 1)):
            for arc, key in enumerate(arcs[i]):
                options = {"start": number(0)} if i == j == 0 else {}
                if i and j:
                    pair = number(1 if key == NOTHING else 0 if key == keys[words[j - 1]] else 4)
                    options["pair"] = number(cost[i - 1, j - 1, best(i - 1, j - 1)] + pair)
                if j:
                    options["open"] = number(cost[i, j - 1, arc] + number(3))
                if i:
                    options["pass"] = number(
                        cost[i - 1, j, best(i - 1, j)] + number("0.001" if key == NOTHING else "3")
                    )
                move[i, j, arc] = min(options, key=lambda name: options[name])
                cost[i, j, arc] = options[move[i, j, arc]]
        pairs, i, j = [], len(slots), len(words)
        arc = best(i, j)
        while i or j:
            step = move[i, j, arc]
            j -= step != "pass"
            if step != "open":
                i -= 1
                if step == "pair":
                    pairs.append((i, j))
                arc = best(i, j)
        return pairs[::-1]

    def network(keys: np.ndarray, starts_s: np.ndarray, ends_s: np.ndarray, offsets: np.ndarray, times: bool) -> Any:
        def middle_ms(slot: list[int]) -> int:
            spoken = [word for word in slot if word != NOTHING]
            return round(500 * sum(starts_s[word] + ends_s[word] for word in spoken) / len(spoken))

        slots: list[list[int]] = []
        for system, (begin, end) in enumerate(itertools.pairwise(offsets.tolist())):
            words = range(begin, end)
            pairs = aligned(slots, keys.tolist(), words)
            merged, i, j = [], 0, 0
            for paired_slot, paired_word in [*pairs, (len(slots), len(words))]:
                while i < paired_slot or j < paired_word:
                    if j == paired_word or (i < paired_slot and middle_ms(slots[i]) <= middle_ms([words[j]])):
                        merged.append([*slots[i], NOTHING])
                        i += 1
                    else:
                        merged.append([*[NOTHING] * system, words[j]])
                        j += 1
                if i < len(slots):
                    merged.append([*slots[i], words[j]])
                i, j = i + 1, j + 1
            slots = merged
        return np.array(slots, np.int64).reshape(-1, len(offsets) - 1)

    return network


@pytest.mark.parametrize("systems", [2, 3, 5])
def test_the_words_are_those_of_sctk(systems: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = sctk_rover()
    hypotheses = files(1000 * systems, systems, 60)
    arguments = []
    for number, system in enumerate(hypotheses):
        path = tmp_path / f"{number}.ctm"
        path.write_text(write_ctm(system))
        arguments += ["-h", str(path), "ctm"]
    settings: list[tuple[Method, float, float]] = [
        (method, alpha, null_confidence)
        for method in ("meth1", "maxconf", "avgconf")
        for alpha, null_confidence in ((0.37, 0.4123457), (0.83, 0.7123457))
    ]
    for method, alpha, null_confidence in settings:
        options = ["-m", method, "-a", str(alpha), "-c", str(null_confidence), "-s", "-f", "0"]
        command = [program, *arguments, "-o", str(tmp_path / "out.ctm"), *options]
        subprocess.run(command, check=True, capture_output=True)
        theirs: dict[str, list[str]] = {}  # in the order of the lines: SCTK's mean times may run backwards
        for row in (tmp_path / "out.ctm").read_text().splitlines():
            theirs.setdefault(row.split()[0], []).append(row.split()[4])
        weights = RoverWeights(alpha, null_confidence, method, times=False)

        def voted(name: str, weights: RoverWeights = weights) -> list[str]:
            return [word.text for word in rover([system[name] for system in hypotheses], weights).words]

        for name in hypotheses[0]:
            assert voted(name) == theirs.get(name, []), name
        with monkeypatch.context() as patch:  # and it is single precision in which both agree, cell by cell
            patch.setattr(word_network, "network", full_table(np.float32))
            for name in list(hypotheses[0])[:8]:
                assert voted(name) == theirs.get(name, []), name
