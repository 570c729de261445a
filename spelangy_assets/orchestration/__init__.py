"""Dagster: assets, checks, partitions, jobs, schedules, sensors, executors, and the machines that runs are given to.

Put here: all code that imports Dagster. Do not put here: how a dataset is made or judged.
"""
