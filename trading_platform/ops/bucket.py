"""``trading-platform make-bucket``: the lake's bucket in an S3-compatible store, made once and proven writable."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from trading_platform.settings import ENV_PREFIX, Settings

PROBE = ".write-probe"
FIRST_REGION = "us-east-1"


class BucketError(Exception):
    """The bucket can't be made or written. The message says what to do."""


def make_bucket(settings: Settings) -> str:
    """Make the bucket of the settings' lake if it is missing, write and delete an object in it; return a sentence.

    Also lets it keep old versions of objects for the settings' days, if the store can. Lifecycle rules that the
    bucket has already are left alone: then those decide when versions expire.

    Credentials and region come from the usual variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_DEFAULT_REGION).

    Raises:
        BucketError: the lake is not in S3, the store does not answer, or it refuses the credentials.
    """
    address = urlsplit(settings.lake_url or "")
    if address.scheme != "s3" or not address.netloc:
        msg = f"the lake is not in S3: set {ENV_PREFIX}LAKE_URL to s3://bucket/prefix, or do without a bucket"
        raise BucketError(msg)
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, prefix = address.netloc, address.path.strip("/")
    store = settings.s3_endpoint_url or "AWS"
    try:
        client = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            config=Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 4, "mode": "standard"}),
        )
        is_new = _ensure(client, bucket)
        key = f"{prefix}/{PROBE}".lstrip("/")
        client.put_object(Bucket=bucket, Key=key, Body=b"")
        client.delete_object(Bucket=bucket, Key=key)
        versions = _keep_versions(client, bucket, prefix, settings.lake_keep_versions_days)
    except ClientError as error:
        msg = (
            f"the store at {store} refused bucket {bucket} ({error}): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY "
            "and what they may do"
        )
        raise BucketError(msg) from error
    except (BotoCoreError, ValueError) as error:
        msg = f"the store at {store} can't be used ({error}): start it, or correct {ENV_PREFIX}S3_ENDPOINT_URL"
        raise BucketError(msg) from error
    return f"bucket {bucket} at {store}: {'made' if is_new else 'there already'}, and writable; {versions}"


def _ensure(client: Any, bucket: str) -> bool:
    """Make the bucket unless it exists; return whether it was made."""
    from botocore.exceptions import ClientError

    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    else:
        return False
    region = client.meta.region_name
    # the first region has no constraint of its own: AWS refuses its name there
    elsewhere = {} if region in (None, FIRST_REGION) else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client.create_bucket(Bucket=bucket, **elsewhere)
    return True


def _keep_versions(client: Any, bucket: str, prefix: str, days: int) -> str:
    """Switch versioning on, with a rule that expires old versions; return what came of it."""
    from botocore.exceptions import ClientError

    if not days:
        return "old versions as the bucket has it"
    rule = {
        "ID": "trading-platform-old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days},
    }
    try:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        try:
            client.get_bucket_lifecycle_configuration(Bucket=bucket)
        except ClientError:
            client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
            return f"old versions are kept for {days} days"
    except ClientError as error:
        return f"old versions are not kept, or for ever: the store refused ({error})"
    return "old versions are kept; the bucket's own lifecycle rules say for how long"
