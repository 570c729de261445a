"""Which failures another try may mend."""

import errno

import pytest

from spelangy_assets.execution.stage import InputError
from spelangy_assets.orchestration.installation import LaunchError
from spelangy_assets.orchestration.policies import is_transient


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def lost_endpoint() -> Exception:
    from botocore.exceptions import EndpointConnectionError

    return EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def lost_server() -> Exception:
    import httpx2

    return httpx2.ReadTimeout("no reply")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        TimeoutError("no reply in 30 s"),
        OSError(errno.ESTALE, "stale file handle"),
        OSError("When reading 'a': AWS Error SLOW_DOWN during GetObject operation: reduce your request rate"),
        LaunchError("spelangy_model.train.run ended with exit status -9: python -m ..."),
        RuntimeError("External execution process failed with code -15"),
        caused(RuntimeError("the upload failed"), ConnectionRefusedError("refused")),
        ValueError("Invalid Input Error: IOError: AWS Error INTERNAL_FAILURE during GetObject operation: flush"),
    ],
)
def test_what_was_lost_or_killed_is_transient(error: Exception):
    assert is_transient(error)


@pytest.mark.parametrize("make", [lost_endpoint, lost_server])
def test_the_libraries_own_words_for_a_lost_connection_are_known(make):
    assert is_transient(make())


@pytest.mark.parametrize(
    "error",
    [
        ValueError("row_length must be at least 4"),
        FileNotFoundError(errno.ENOENT, "no such file"),
        PermissionError(errno.EACCES, "denied"),
        OSError(errno.ENOSPC, "no space left on device"),
        OSError("When reading 'a': AWS Error ACCESS_DENIED during GetObject operation"),
        LaunchError("spelangy_model.train.run ended with exit status 1: python -m ..."),
        InputError("a.wav, record 3: broken; leave it out"),
    ],
)
def test_what_would_fail_again_is_not(error: Exception):
    assert not is_transient(error)
