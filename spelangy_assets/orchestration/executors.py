"""How the steps of a run are executed: in the run's own process, or in processes of a fork server.

Put here: executors. Do not put here: how many runs there are at once (dagster.yaml) or which steps exclude each other
(the pools of the nodes, limited per instance).
"""

import dagster as dg

from spelangy_assets.settings import Settings


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor of all jobs.

    In one process a small recipe saves the start of Python and its imports at every step. With `multiprocess` a step
    has a process of its own, so that steps run side by side and their memory is given back; the processes are forked
    from a server that has imported the definitions, which are light, and never a library that holds a GPU.
    """
    if settings.executor == "in_process":
        return dg.in_process_executor
    return dg.multiprocess_executor.configured(
        {
            "max_concurrent": settings.workers,
            "start_method": {"forkserver": {"preload_modules": ["spelangy_assets.definitions"]}},
        },
        name="multiprocess",
    )
