"""Do models trained on fine chunks use more of what is spoken? Two arms, two seeds each."""

from spelangy_assets import lab
from spelangy_assets.recipes.sample import BATCH_ROWS, SEED, judging, training
from spelangy_assets.recipes.sample import SAMPLE as S


def run(tokens: lab.Dataset, seed: int) -> lab.Dataset:
    shares = {"speech": {tokens: 1.0}, "text": {S["text_tokens"]: 1.0}, "text_share": 0.15}
    rows = lab.mix(**shares, rows=1600, sampling="stochastic", seed=seed)
    return lab.train(rows, base=S["base_lm"], **training(400, BATCH_ROWS, 3e-3, seed=seed))


sets = {"coarse": S["web_coarse_tokens"], "fine": S["web_fine_tokens"]}
arms = {name: [run(tokens, seed) for seed in (SEED, SEED + 1)] for name, tokens in sets.items()}
row = lab.Ablation("Chunk length", "coarse", "fine", metric="talk.hearing_gain", effect=0.03)
judged = judging(held_out_talks=200)  # ten times the sample's, which are too few to find 0.03 nats
board = lab.leaderboard(arms, S["sqa_benchmarks"], ablations=(row,), judging=judged, seed=SEED)
RECIPE = lab.Recipe("chunk_length", board)
