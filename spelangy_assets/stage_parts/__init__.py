"""What several stages have in common.

Put here: reading of datasets and services that more than one stage needs. Do not put here: a stage.
"""
