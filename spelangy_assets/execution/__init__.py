"""How datasets are made: the graph, its targets, building one dataset, finding what is out of date, and repairing it.

Put here: code that is the same for every stage. Do not put here: a stage's work, a recipe, or Dagster.
"""
