"""When Dagster acts by itself: retries by the kind of failure, automation by the cost of a node.

Put here: policies applied to every node alike. Do not put here: exceptions for one asset.
"""

import errno
import re
from collections.abc import Iterator

import dagster as dg

from spelangy_assets.execution.graph import Node
from spelangy_assets.store.files import LOST_ON_S3

# By the names of the libraries' classes (httpx2, botocore, openai), none of which is imported for this.
_LOST = {
    "TransportError",
    "ConnectionError",
    "HTTPClientError",
    "APIConnectionError",
    "RateLimitError",
    "InternalServerError",
}
_LOST_ERRNOS = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
}
_KILLED = re.compile(r"process failed with code -\d+|exit status -\d+")  # a child process that a signal ended


# Two more tries after growing delays. Only what `is_transient` gets there: the bridge fails the rest for good.
RETRIES = dg.RetryPolicy(max_retries=2, delay=1.0, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


def is_transient(error: BaseException) -> bool:
    """Whether another try may go better: a connection that was lost, a service that was busy, a child that was killed.

    A bad file, a missing model, a broken contract or a mistake in code gives the same error again and is not transient.
    """
    return any(_is_lost(one) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _is_lost(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError) or _LOST & {kind.__name__ for kind in type(error).__mro__}:
        return True
    if isinstance(error, OSError) and error.errno in _LOST_ERRNOS:
        return True
    # S3's error texts also come wrapped in an error of DuckDB, which reads through PyArrow.
    return bool(LOST_ON_S3.search(str(error)) or _KILLED.search(str(error)))


def automation_of(node: Node) -> dg.AutomationCondition | None:
    """Cheap nodes follow their parents, once every blocking check above passed; heavy ones are never automatic."""
    if node.cost != "cheap" or not node.parents:
        return None
    return dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()
