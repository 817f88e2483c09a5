from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from trading_platform.storage.mlflow_database import (
    MlflowDatabaseError,
    latest_revision,
    prepare_tracking_database,
)


def test_of_two_at_once_one_upgrades_and_afterwards_it_is_one_query(database_url: str) -> None:
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(prepare_tracking_database(database_url))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, True]

    program = (
        "import sys; from trading_platform.storage.mlflow_database import prepare_tracking_database;"
        "print(prepare_tracking_database(sys.argv[1]), 'mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", program, database_url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]
    start = time.perf_counter()
    assert prepare_tracking_database(database_url) is False
    assert time.perf_counter() - start < 1.0  # measured 13 ms


def test_the_revision_is_the_one_mlflow_asks_for() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    assert latest_revision() == _get_latest_schema_revision()


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    url = "postgresql+psycopg2://mlflow:hush@127.0.0.1:9/mlflow"
    with pytest.raises(MlflowDatabaseError, match=r"127\.0\.0\.1:9/mlflow does not answer: start it") as caught:
        prepare_tracking_database(url)
    assert "hush" not in str(caught.value)


def test_an_upgrade_that_fails_says_why(database_url: str) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num varchar(32))"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('of_somebody_else')"))
    with pytest.raises(MlflowDatabaseError, match=r"upgrading MLflow's database failed[\s\S]*of_somebody_else"):
        prepare_tracking_database(database_url)
