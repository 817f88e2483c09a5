"""MLflow for assets: one MLflow run per strategy and session, through ``dagster-mlflow``.

The injected resource is ``dagster_mlflow.mlflow_tracking``, built on first use by :class:`MlflowResource`, because
importing it imports MLflow (seconds, in every run's process) and because its configuration names one MLflow run
for a whole Dagster run. Around it these of its faults are mended:

- It searches for a run and makes one if none is found, so two at once make two. Here one at a time looks for the run
  and makes it, and its id is handed in as ``mlflow_run_id``.
- A failed Dagster run ends as FINISHED. Here the run ends as what the asset did.
- It renames the run it is given to the name of the Dagster job. Here it is named as the session.
- Two Dagster runs in one process share a run. Here a run that somebody left open is closed first.
- ``dg.EnvVar`` fails in ``.configured()``. Here it works, being resolved before.

What belongs here: getting a run and putting things into it. What is logged is for the assets to say; the schema
of MLflow's own database is in ``trading_platform.storage.mlflow_database``.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    import pandas as pd

NOT_FINITE_TAG = "metrics_not_finite"
"""Tag: JSON object of the metrics that were NaN or infinite when last logged, e.g. ``{"sharpe": "nan"}``."""

PARAM_NOW_TAG = "param_now."
"""Prefix of tags: the new value of a parameter that the run already had with another one (MLflow keeps the first)."""

_PARAM_LIMIT = 6000
_TAG_LIMIT = 8000


Alone = Callable[[str], contextlib.AbstractContextManager[None]]


class MlflowUnavailableError(RuntimeError):
    """MLflow does not answer, or its address is not usable; the message says what to do."""


class MlflowResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # its parameter is what resources return
    """Where MLflow is. Importing and configuring it imports nothing of MLflow."""

    tracking_uri: str = Field(description="http(s)://… of an MLflow server, or the URL of its database.")
    ui_url: str | None = Field(None, description="Base of links to MLflow's UI; unset: no links.")
    artifact_root: str | None = Field(
        None, description="Directory or s3://… of artifacts. Needed with a database; a server has its own."
    )
    s3_endpoint_url: str | None = Field(None, description="Endpoint of an S3-compatible store of artifacts.")

    @contextlib.contextmanager
    def session_run(
        self,
        context: dg.AssetExecutionContext,
        *,
        strategy: str,
        session: str,
        account: str,
        world: str,
        alone: Alone,
    ) -> Iterator[SessionRun]:
        """Open the MLflow run of one strategy and session (ISO date) and end it with the asset's true status.

        Experiment: ``strategy``; run name: ``session``; tags: strategy, session, account, world, asset, and
        ``dagster_run_id`` of the run that wrote last. Materializing the session again re-opens its run. The
        status is FINISHED, FAILED after an exception, KILLED after an interruption. ``alone(what)`` is a context that
        one process at a time is in: MLflow has nothing that keeps two from making a run each.

        Raises:
            MlflowUnavailableError: the server or database does not answer.
        """
        identity = {
            "strategy": strategy,
            "session": session,
            "account": account,
            "world": world,
            "asset": context.asset_key.to_user_string(),
        }
        with self._explained():
            self._prepare(context)
            with alone(f"MLflow runs of {strategy}"):
                found = _find_or_create_run(self._client(), self._artifact_location(strategy), session, identity)
        import dagster_mlflow

        configured = dagster_mlflow.mlflow_tracking.configured(
            {
                "experiment_name": strategy,
                "mlflow_tracking_uri": self.tracking_uri,
                "mlflow_run_id": found.info.run_id,
                "extra_tags": {**identity, "mlflow.runName": session},
            }
        )
        status = "FAILED"
        try:
            with dg.build_resources(
                {"mlflow": configured}, instance=context.instance, dagster_run=context.run, log_manager=context.log
            ) as resources:
                yield SessionRun(
                    tracking=resources.mlflow,
                    run_id=found.info.run_id,
                    experiment_id=found.info.experiment_id,
                    url=self._url_of(found.info.experiment_id, found.info.run_id),
                    params=dict(found.data.params),
                )
            status = "FINISHED"
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            status = "KILLED"
            raise
        finally:
            _end_run(self._client(), found.info.run_id, status)

    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.tracking_uri)

    def _url_of(self, experiment_id: str, run_id: str) -> str | None:
        return f"{self.ui_url.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}" if self.ui_url else None

    def _artifact_location(self, strategy: str) -> str | None:
        if self.tracking_uri.startswith(("http://", "https://")):
            return None
        if self.artifact_root is None:
            msg = (
                "MLflow has a database but no place for artifacts: set artifact_root to a directory or s3://… "
                "(MLflow's own default depends on the directory one stands in)"
            )
            raise MlflowUnavailableError(msg)
        return f"{self.artifact_root.rstrip('/')}/{strategy}"

    def _prepare(self, context: dg.AssetExecutionContext) -> None:
        """Make MLflow fail within seconds when its server or database is down, and close a run left open."""
        # MLflow's own defaults retry for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        if self.s3_endpoint_url:
            os.environ["MLFLOW_S3_ENDPOINT_URL"] = self.s3_endpoint_url
        if self.tracking_uri.startswith("postgresql"):
            import sqlalchemy as sa

            sa.create_engine(self.tracking_uri, connect_args={"connect_timeout": 5}).connect().close()

        import mlflow

        mlflow.set_tracking_uri(self.tracking_uri)
        while (left_open := mlflow.active_run()) is not None:
            context.log.warning(f"the MLflow run {left_open.info.run_id} was left open in this process; it is closed")
            mlflow.end_run("KILLED")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        import requests
        import sqlalchemy as sa
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, requests.RequestException, sa.exc.SQLAlchemyError) as error:
            # the message of a driver may hold the address with its password
            reason = type(error).__name__ if isinstance(error, sa.exc.SQLAlchemyError) else str(error)
            msg = (
                f"MLflow can't be used ({reason}): check TRADING_PLATFORM_MLFLOW_TRACKING_URI and that its server or "
                "database is up and has been prepared (`trading-platform doctor` tells)"
            )
            raise MlflowUnavailableError(msg) from error


@dataclass
class SessionRun:
    """An open MLflow run. ``tracking`` is dagster-mlflow's resource, for whatever this class has no method for.

    ``url`` leads to the run in MLflow's UI. The methods may be called from any thread.
    """

    tracking: Any
    run_id: str
    experiment_id: str
    url: str | None
    params: dict[str, str] = field(default_factory=dict)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters. One the run has with another value keeps it; the new one becomes a tag ``param_now.…``."""
        from mlflow.entities import Param, RunTag

        texts = {name: str(value)[:_PARAM_LIMIT] for name, value in params.items()}
        fresh = {name: text for name, text in texts.items() if name not in self.params}
        changed = {name: text for name, text in texts.items() if name in self.params and self.params[name] != text}
        names = sorted(fresh)
        for start in range(0, len(names), 100):
            chunk = [Param(name, fresh[name]) for name in names[start : start + 100]]
            self.tracking.tracking_client.log_batch(self.run_id, params=chunk)
        if changed:
            tags = [RunTag(PARAM_NOW_TAG + name, text[:_TAG_LIMIT]) for name, text in sorted(changed.items())]
            self.tracking.tracking_client.log_batch(self.run_id, tags=tags)
        self.params.update(fresh)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics. NaN and infinities, which MLflow stores as other numbers, go to the tag NOT_FINITE_TAG."""
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        others = {name: str(float(value)) for name, value in metrics.items() if name not in finite}
        if finite:
            self.tracking.log_metrics(finite, step=step, run_id=self.run_id)
        self.log_tags({NOT_FINITE_TAG: json.dumps(others, sort_keys=True)})

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, replacing earlier values."""
        from mlflow.entities import RunTag

        texts = [RunTag(name, text[:_TAG_LIMIT]) for name, text in tags.items()]
        self.tracking.tracking_client.log_batch(self.run_id, tags=texts)

    def log_frame(self, name: str, frame: pd.DataFrame) -> None:
        """Store a frame as the artifact ``<name>.parquet``, replacing an earlier one."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / f"{name}.parquet"
            frame.to_parquet(path, index=False)
            self.tracking.tracking_client.log_artifact(self.run_id, str(path))

    def log_json(self, name: str, document: object) -> None:
        """Store a document as the artifact ``<name>.json``; what JSON lacks is written as text.

        Raises:
            ValueError: it holds NaN or an infinity, which JSON does not have.
        """
        text = json.dumps(document, indent=2, sort_keys=True, default=str, allow_nan=False)
        self.tracking.tracking_client.log_text(self.run_id, text, f"{name}.json")


def _find_or_create_run(client: Any, artifact_location: str | None, session: str, identity: Mapping[str, str]) -> Any:
    """The MLflow run with these tags; made if there is none."""
    experiment_id = _experiment(client, identity["strategy"], artifact_location)
    quoted = {name: value.replace("'", "''") for name, value in identity.items()}
    runs = client.search_runs(
        [experiment_id],
        filter_string=" and ".join(f"tags.`{name}` = '{value}'" for name, value in quoted.items()),
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        max_results=1,
    )
    return runs[0] if runs else client.create_run(experiment_id, run_name=session, tags=dict(identity))


def _experiment(client: Any, name: str, artifact_location: str | None) -> str:
    """Id of the experiment ``name``, made or restored if need be."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)  # another process was faster
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _end_run(client: Any, run_id: str, status: str) -> None:
    import mlflow

    active = mlflow.active_run()
    if active is not None and active.info.run_id == run_id:
        mlflow.end_run(status)  # takes it off this thread's stack too
    else:
        client.set_terminated(run_id, status=status)
