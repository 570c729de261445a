"""The S3 service of the store as dagster-aws's resource, in which a user of Dagster states how S3 is reached.

Put here: the resource, and what the store takes of it. Do not put here: the clients (store/s3_objects.py), which the
store makes of the same options where there is no Dagster. dagster-aws takes a second to import: only for a store on S3.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from spelangy_assets.store.files import s3_options
from spelangy_assets.store.s3_objects import S3_ATTEMPTS, S3Options

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource


def is_s3(uri: str) -> bool:
    """Whether a store's URI is on S3."""
    return uri.lower().startswith("s3://")


def s3_resource(uri: str) -> S3Resource:
    """Return the resource of the service that an s3:// URI names. A secret in the URI stays out: the UI shows this."""
    from dagster_aws.s3 import S3Resource

    return S3Resource(**{"max_attempts": S3_ATTEMPTS, **s3_options(uri)})


def options_of(resource: S3Resource) -> S3Options:
    """Return what a resource says, its environment variables read."""
    found = resource.process_config_and_initialize()
    return S3Options(**{field.name: getattr(found, field.name) for field in fields(S3Options)})
