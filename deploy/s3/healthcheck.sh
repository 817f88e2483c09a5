#!/bin/sh
# List the buckets with a signed request: proves the gateway, the store behind it, and the credentials.
set -eu

# the credentials go through stdin, since every process can read a command line
printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" |
    curl --config - --silent --show-error --fail --max-time 5 --output /dev/null \
        --aws-sigv4 "aws:amz:us-east-1:s3" "${S3_ENDPOINT_URL:-http://127.0.0.1:8333}/"
