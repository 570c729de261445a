"""Whole objects on S3 as they are at one moment: read in one request, compared and swapped by conditional PUTs.

PyArrow has neither: it asks for an object's length, then for so many bytes, which may be of the object that replaced
it; and it sends no conditions (If-None-Match, If-Match). Put here: those two operations and the client for them. Do not
put here: what is read in ranges or written in parts (files.py). boto3 is imported when the first request is sent.
"""

from __future__ import annotations

import functools
import time
from typing import Any

# The first waits are tenths of a second, the last ones 20 s: a store that is written for hours meets bad minutes.
S3_ATTEMPTS = 10
_WAIT_S = 0.02
_CONNECTIONS = 32


class S3Objects:
    """The objects of one service; takes the options and secrets of an S3 URI, and otherwise what AWS' tools find."""

    def __init__(
        self,
        region: str | None = None,
        endpoint_override: str | None = None,
        scheme: str = "https",
        access_key: str | None = None,
        secret_key: str | None = None,
    ):
        endpoint = f"{scheme}://{endpoint_override}" if endpoint_override else None
        self._client = functools.partial(_client, endpoint, region, access_key, secret_key)
        self._knows_conditions = True

    def read(self, place: str) -> bytes | None:
        """Return the bytes at BUCKET/KEY; None when there is no such object. ConnectionError as `swap` gives it."""
        return self._read(place)[0]

    def swap(self, place: str, data: bytes, old: bytes | None) -> bool:
        """Put `data` at BUCKET/KEY if `old` is there (None: if nothing is); return whether `data` is there now.

        ConnectionError when the service fails ten times.
        """
        for attempt in range(S3_ATTEMPTS):
            found, etag = self._read(place)
            # Equal bytes are as good as one's own, and may be: the reply to a PUT was lost, and its repetition refused.
            if found == data:
                return True
            if found != old:
                return False
            if self._put(place, data, etag):
                return True
            _wait(attempt)
        raise ConnectionError(f"s3://{place}: the service refused {S3_ATTEMPTS} conditional writes over what it holds")

    def _read(self, place: str) -> tuple[bytes | None, str | None]:
        """Return an object's bytes and its tag; None and None when there is none."""
        from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

        bucket, _, key = place.partition("/")
        for attempt in range(S3_ATTEMPTS):
            try:
                reply = self._client().get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return None, None
                raise _of_the_service(error, place) from error
            try:
                return reply["Body"].read(), reply["ETag"]
            except (HTTPClientError, IncompleteReadError) as error:  # the client repeats no reply that broke off
                if attempt == S3_ATTEMPTS - 1:
                    raise ConnectionError(f"s3://{place}: {error}") from error
                _wait(attempt)
        raise AssertionError("the last attempt returns or raises")

    def _put(self, place: str, data: bytes, etag: str | None) -> bool:
        """Put an object in the place of one with a tag (None: of none); return whether it was put."""
        from botocore.exceptions import ClientError

        bucket, _, key = place.partition("/")
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            kept = condition if self._knows_conditions else {}
            self._client().put_object(Bucket=bucket, Key=key, Body=data, **kept)
            return True
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 501 and self._knows_conditions:
                self._knows_conditions = False
                return self._put(place, data, etag)
            # It changed since (412; 304 of some services), is being changed (409), or is there no more (404).
            if status in (304, 404, 409, 412):
                return False
            raise _of_the_service(error, place) from error


def _wait(attempt: int) -> None:
    time.sleep(_WAIT_S * 2**attempt)


def _of_the_service(error: Any, place: str) -> Exception:
    """Return an error of S3 as one of a lost connection when another try may go better."""
    if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return ConnectionError(f"s3://{place}: {error}")
    return error


@functools.cache
def _client(endpoint: str | None, region: str | None, access_key: str | None, secret_key: str | None) -> Any:
    """Return a client that threads may share."""
    from boto3.session import Session
    from botocore.config import Config

    config = Config(
        max_pool_connections=_CONNECTIONS,
        retries={"total_max_attempts": S3_ATTEMPTS, "mode": "standard"},
        # As PyArrow addresses a service that is not AWS. Newer checksums in a request are unknown to older services.
        s3={"addressing_style": "path" if endpoint else "virtual"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=config,
    )
