"""Multiple choice: the prompt computed once for its options, against one forward per option, in one run.

    python benchmarks/scoring.py

The other side is what lm-evaluation-harness does: every (prompt, option) is a row of its own, rows are sorted by length
and batched to as many positions. Both sides score the same prompts with the shapes of the sample's model and questions,
alternating; the table gives the median of the ratios. Time is CPU time of this process.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from spelangy_model.eval.multiple_choice import Prompt, score_prompts
from spelangy_model.lm.presets import new_model
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.vocab import Layout

BATCH_POSITIONS = 2048


def make_prompts(count: int, layout: Layout, seed: int) -> list[Prompt]:
    """Return prompts shaped as the sample's: 3 markers, 20 to 45 codes, 3 ids of prefix, options of 1 to 3 ids."""
    rng = stable_rng(seed, "scoring")

    def text(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.integers(0, layout.text_size, rng.integers(low, high + 1)).tolist())

    prompts = []
    for _ in range(count):
        codes = (rng.integers(0, layout.codebook_size, rng.integers(20, 46)) + layout.first_code).tolist()
        ids = (layout.bos, layout.speech_start, *codes, layout.speech_end, *text(3, 3))
        options = tuple(text(1, 3) for _ in range(4))
        prompts.append(Prompt(ids, options, tuple(5 * len(option) for option in options)))
    return prompts


@torch.inference_mode()
def one_forward_per_option(model, prompts: list[Prompt], pad: int) -> list[list[float]]:
    """Return the log-likelihood of each option, each with a forward of its own, batched by length."""
    rows = [(i, j, [*p.ids, *option[:-1]]) for i, p in enumerate(prompts) for j, option in enumerate(p.options)]
    rows.sort(key=lambda row: len(row[2]))
    scores = [[0.0] * len(prompt.options) for prompt in prompts]
    first = 0
    while first < len(rows):
        last = first + 1
        while last < len(rows) and (last - first + 1) * len(rows[last][2]) <= BATCH_POSITIONS:
            last += 1
        batch = rows[first:last]
        longest = max(len(ids) for _, _, ids in batch)
        ids = torch.full((len(batch), longest), pad)
        for row, (_, _, values) in enumerate(batch):
            ids[row, : len(values)] = torch.tensor(values)
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        for row, (i, j, _) in enumerate(batch):
            option, end = prompts[i].options[j], len(prompts[i].ids)
            read = hidden[row, end - 1 : end - 1 + len(option)]
            log_probs = model.get_output_embeddings()(read).log_softmax(-1)
            scores[i][j] = float(log_probs[range(len(option)), list(option)].double().sum())
        first = last
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    layout = Layout(text_size=1300, codebook_size=1000)
    model = new_model("tiny", layout, args.seed).eval()
    prompts = make_prompts(args.questions, layout, args.seed)

    def ours() -> list[list[float]]:
        return [score.raw for score in score_prompts(model, prompts, layout.pad)]

    def theirs() -> list[list[float]]:
        return one_forward_per_option(model, prompts, layout.pad)

    difference = float(np.abs(np.array(ours()) - np.array(theirs())).max())  # the first run of each warms up too
    rates: list[tuple[float, float]] = []
    for _ in range(args.repeats):
        pair = []
        for work in (ours, theirs):
            start = time.process_time()
            work()
            pair.append(args.questions / (time.process_time() - start))
        rates.append((pair[0], pair[1]))
    ratio = statistics.median(a / b for a, b in rates)
    shared, single = (statistics.median(side) for side in zip(*rates, strict=True))
    print("| scoring | questions per CPU second | ratio | largest difference of a score |")
    print("|---|---|---|---|")
    print(f"| one forward per option | {single:.0f} | 1 | - |")
    print(f"| prompt shared by its options | {shared:.0f} | {ratio:.2f} | {difference:.1e} nats |")


if __name__ == "__main__":
    main()
