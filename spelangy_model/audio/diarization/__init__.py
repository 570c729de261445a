"""Speaker diarization: who speaks when, by several systems, and how wrong an answer is.

Put here: one module a system, and the models that they stand on. Do not put here: turns as records (turns.py, rttm.py).
"""
