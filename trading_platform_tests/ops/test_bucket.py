"""Making the lake's bucket: what can be wrong, in words. That it is made is tested as the container's command."""

from __future__ import annotations

from typing import Any

import pytest

from trading_platform.ops.bucket import BucketError, make_bucket
from trading_platform.ops.processes import free_port
from trading_platform.settings import Settings


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]  # pydantic-settings' own argument


@pytest.mark.parametrize("url", [None, "relative/lake", "s3://"])
def test_a_lake_that_is_not_in_s3_is_refused(url: str | None) -> None:
    with pytest.raises(BucketError, match="set TRADING_PLATFORM_LAKE_URL to s3://bucket/prefix"):
        make_bucket(settings(lake_url=url))


def test_a_store_that_does_not_answer_is_named(s3_options: dict[str, Any]) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(BucketError, match=f"{endpoint} can't be used.*TRADING_PLATFORM_S3_ENDPOINT_URL"):
        make_bucket(settings(lake_url="s3://lake", s3_endpoint_url=endpoint))


def test_a_name_that_the_store_refuses_is_an_error_with_its_answer(
    s3_endpoint: str, s3_options: dict[str, Any]
) -> None:
    with pytest.raises(BucketError, match="refused bucket"):
        make_bucket(settings(lake_url="s3://ab/lake", s3_endpoint_url=s3_endpoint))


def test_a_bucket_in_another_region_is_made_there(
    s3_endpoint: str, s3_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert "made" in make_bucket(settings(lake_url="s3://in-frankfurt", s3_endpoint_url=s3_endpoint))


def test_a_bucket_keeps_old_versions_for_the_settings_days(s3_endpoint: str, s3_options: dict[str, Any]) -> None:
    import boto3

    place = settings(lake_url="s3://with-versions/lake", s3_endpoint_url=s3_endpoint, lake_keep_versions_days=12)
    assert "old versions are kept for 12 days" in make_bucket(place)
    assert "there already" in (again := make_bucket(place))
    assert "the bucket's own lifecycle rules" in again
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    assert client.get_bucket_versioning(Bucket="with-versions")["Status"] == "Enabled"
    (rule,) = client.get_bucket_lifecycle_configuration(Bucket="with-versions")["Rules"]
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 12
    assert rule["Filter"] == {"Prefix": "lake"}


def test_a_bucket_is_left_as_it_is_when_nothing_is_to_be_kept(s3_endpoint: str, s3_options: dict[str, Any]) -> None:
    import boto3

    make_bucket(settings(lake_url="s3://as-it-is", s3_endpoint_url=s3_endpoint, lake_keep_versions_days=0))
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    assert "Status" not in client.get_bucket_versioning(Bucket="as-it-is")
