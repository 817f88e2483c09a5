# syntax=docker/dockerfile:1
# One image for everything of ours on a server: code server, web UI, daemon, MLflow, paper gateway, migrations.
# The Python minor version is the one that constraints.txt was resolved for.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
# The dependencies, with an empty package: this layer is made again only when they change.
RUN mkdir trading_platform && touch trading_platform/__init__.py && pip install -c constraints.txt .
COPY trading_platform trading_platform
RUN pip install --no-deps --force-reinstall .

FROM python:${PYTHON_VERSION}-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GIT_PYTHON_REFRESH=quiet \
    DAGSTER_HOME=/opt/trading-platform/dagster \
    TRADING_PLATFORM_HOME=/var/lib/trading-platform
# A named volume that is mounted on one of these directories takes over its owner.
RUN groupadd --gid 10001 platform \
    && useradd --uid 10001 --gid platform --home-dir /var/lib/trading-platform --no-create-home platform \
    && install --directory --owner platform --group platform \
        /var/lib/trading-platform /opt/trading-platform/dagster /opt/trading-platform/dagster/storage
COPY --from=build /opt/venv /opt/venv
COPY dagster.yaml /opt/trading-platform/dagster/dagster.yaml
COPY deploy/workspace.yaml deploy/handshake.sh /opt/trading-platform/
WORKDIR /var/lib/trading-platform
USER platform
CMD ["trading-platform", "--help"]
