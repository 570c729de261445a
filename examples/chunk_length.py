"""Do shorter chunks make a better SpeechLM? One arm beside the sample's: `spelangy run examples/chunk_length.py`."""

from spelangy_assets import lab
from spelangy_assets.recipes.sample import BATCH_ROWS, SEED, judging, training
from spelangy_assets.recipes.sample import SAMPLE as S

tokens = lab.Tokens(speech=S["speech_tokenizer"], text=S["text_tokenizer"])
short = lab.chunks(S["raw_audio"], S["clean_transcripts"], lab.Sentences(max_s=3), name="web_fine_3s", seed=SEED)
rows = lab.mix(speech={tokens(short): 1.0}, text={S["text_tokens"]: 1.0}, text_share=0.15, rows=2000, seed=SEED)
arms = {"fine": S["run_fine"], "fine_3s": lab.train(rows, base=S["base_lm"], **training(400, BATCH_ROWS, 3e-3))}
board = lab.leaderboard(
    arms,
    S["sqa_benchmarks"],
    ablations=(lab.Ablation("Chunk length", "fine", "fine_3s"),),
    judging=judging(),
    seed=SEED,
)
RECIPE = lab.Recipe("chunk_length", board)
