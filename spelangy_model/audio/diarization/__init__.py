"""Speaker diarization: who speaks when, by several systems, and the error of a result.

Put here: one module for each system, and the models that they use. Do not put here: turns as records (turns.py,
rttm.py).
"""
