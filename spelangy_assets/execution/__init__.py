"""How datasets come about: the graph, what is wanted of it, building one dataset, what is out of date, what to repair.

Put here: what is the same for every stage. Do not put here: a stage's work, a recipe, or Dagster.
"""
