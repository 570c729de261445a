"""Whole objects on S3 as they are at one moment: read in one request, compared and swapped by conditional PUTs.

PyArrow has neither: it asks for an object's length, then for so many bytes, which may be of the object that replaced
it; and it sends no conditions (If-None-Match, If-Match). Put here: those two operations and the client for them. Do not
put here: what is read in ranges or written in parts (files.py). boto3 is imported when the first request is sent.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from typing import Any

# The first waits are tenths of a second, the last ones 20 s: a store that is written for hours meets bad minutes.
S3_ATTEMPTS = 10
_WAIT_S = 0.02
_CONNECTIONS = 32


@dataclass(frozen=True)
class S3Options:
    """How an S3 service is reached, in the words of dagster-aws's `S3Resource`. Unset: as all of AWS' tools do."""

    region_name: str | None = None
    endpoint_url: str | None = None
    profile_name: str | None = None
    use_unsigned_session: bool = False
    use_ssl: bool = True
    verify: bool | None = None
    max_attempts: int = S3_ATTEMPTS
    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)

    def for_arrow(self) -> dict[str, Any]:
        """Return the options of PyArrow's S3FileSystem. ValueError for what it cannot do."""
        if self.verify is False:
            raise ValueError("s3://...: no verify=false: PyArrow, which moves the shards, verifies every certificate")
        scheme, _, host = (self.endpoint_url or "").rpartition("://")
        if host and scheme not in ("http", "https"):
            raise ValueError("s3://...: endpoint_url begins with http:// or https://")
        keys = (self.aws_access_key_id, self.aws_secret_access_key, self.aws_session_token)
        if self.profile_name and not keys[0]:
            keys = _keys_of(self.profile_name)
        options = {
            "region": self.region_name,
            "endpoint_override": host or None,
            "scheme": scheme or ("https" if self.use_ssl else "http"),
            "anonymous": self.use_unsigned_session or None,
            **dict(zip(("access_key", "secret_key", "session_token"), keys, strict=True)),
        }
        return {name: value for name, value in options.items() if value is not None}


class S3Objects:
    """The objects of one service."""

    def __init__(self, options: S3Options):
        self._client = functools.partial(_client, options)
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


def _keys_of(profile: str) -> tuple[str | None, ...]:
    """Return key, secret and token of a profile. ValueError when there is none, or its keys expire."""
    from boto3.session import Session
    from botocore.credentials import RefreshableCredentials
    from botocore.exceptions import BotoCoreError

    try:
        found = Session(profile_name=profile).get_credentials()
    except BotoCoreError as error:
        raise ValueError(f"s3://...: {error}") from None
    if found is None or isinstance(found, RefreshableCredentials):
        has = "no keys" if found is None else "keys that expire"
        raise ValueError(f"s3://...: profile {profile} has {has}; name it as AWS_PROFILE in the environment instead")
    return tuple(found.get_frozen_credentials())[:3]


@functools.cache
def _client(options: S3Options) -> Any:
    """Return a client that threads may share."""
    from boto3.session import Session
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        max_pool_connections=_CONNECTIONS,
        retries={"total_max_attempts": options.max_attempts, "mode": "standard"},
        # As PyArrow addresses a service that is not AWS. Newer checksums in a request are unknown to older services.
        s3={"addressing_style": "path" if options.endpoint_url else "virtual"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version=UNSIGNED if options.use_unsigned_session else None,
    )
    return Session(profile_name=options.profile_name).client(
        "s3",
        endpoint_url=options.endpoint_url,
        region_name=options.region_name,
        use_ssl=options.use_ssl,
        aws_access_key_id=options.aws_access_key_id,
        aws_secret_access_key=options.aws_secret_access_key,
        aws_session_token=options.aws_session_token,
        config=config,
    )
