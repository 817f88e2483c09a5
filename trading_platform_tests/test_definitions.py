"""What the code location promises as a whole: names, owners, contracts, partitions, jobs, no retries."""

from __future__ import annotations

from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from trading_platform.definitions import build_definitions, build_resources
from trading_platform.defs.common import CONTRACT, by_session
from trading_platform.defs.partitions import FIRST_ALWAYS_OPEN_SESSION, FIRST_SESSION
from trading_platform.domain.calendars import ALWAYS_OPEN, get_calendar
from trading_platform.schemas.columns import MODULES
from trading_platform.settings import Settings
from trading_platform.specs.configured import configured_specs

SETTINGS = Settings(_env_file=None)
STAGES = {"market_data", "features", "signals", "orders", "portfolio", "research"}
CAN_TRADE = "_orders"


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_definitions(SETTINGS)


@pytest.fixture(scope="module")
def graph(defs: dg.Definitions) -> Any:
    return defs.resolve_asset_graph()


def tables(graph: Any) -> dict[dg.AssetKey, str]:
    """The table model of every asset that is a table."""
    return {
        key: graph.get(key).metadata["table_model"]
        for key in graph.get_all_asset_keys()
        if "table_model" in graph.get(key).metadata
    }


def model(name: str) -> Any:
    for module in MODULES:
        found = getattr(import_module(f"trading_platform.schemas.{module}"), name, None)
        if found is not None:
            return found
    raise AssertionError(name)


def test_every_strategy_has_its_whole_chain(graph):
    paths = {tuple(key.path) for key in graph.get_all_asset_keys()}
    for spec in configured_specs(SETTINGS):
        chain = {
            ("market_data", f"{spec.feed}_raw_bars"),
            ("market_data", f"{spec.feed}_validated_bars"),
            ("market_data", f"{spec.feed}_quarantined_bars"),
            ("features", f"{spec.feed}_features"),
            ("signals", f"{spec.name}_signals"),
            ("orders", f"{spec.name}_order_intents"),
            ("orders", f"{spec.name}_orders"),
            ("orders", f"{spec.name}_risk_decisions"),
            ("research", f"{spec.name}_session_run"),
        }
        assert chain <= paths
    account_wide = {
        ("market_data", "instruments"),
        ("orders", "executions"),
        ("portfolio", "positions"),
        ("portfolio", "performance"),
    }
    assert account_wide <= paths


def test_every_asset_is_named_by_stage_and_noun_and_grouped_by_its_stage(graph):
    for key in graph.get_all_asset_keys():
        assert len(key.path) == 2, key
        assert key.path[0] in STAGES
        assert graph.get(key).group_name == key.path[0]


def test_every_asset_says_what_it_is_and_whose_it_is(graph):
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert len(node.description) > 40, key
        assert list(node.owners), key
        assert all(owner.startswith("team:") for owner in node.owners)
        assert node.kinds, key


def test_table_descriptions_give_key_and_units(graph):
    for key, table in tables(graph).items():
        description = graph.get(key).description
        assert "ne row per" in description, key
        if table not in ("Instruments", "Positions"):
            assert "key `" in description, key


def test_column_schemas_are_those_of_the_pandera_models(graph):
    described = tables(graph)
    assert len(described) > 20
    for key, table in described.items():
        declared = model(table).to_schema().columns
        shown = graph.get(key).metadata["dagster/column_schema"].columns
        assert [column.name for column in shown] == list(declared), key
        for column in shown:
            source = declared[column.name]
            assert column.type == str(source.dtype)
            assert column.description == source.description
            assert column.description
            assert column.constraints.nullable == source.nullable
            assert column.constraints.unique == source.unique


def test_every_asset_but_the_mlflow_runs_is_a_table(graph):
    others = set(graph.get_all_asset_keys()) - set(tables(graph))
    assert {key.path[0] for key in others} == {"research"}


def test_every_table_has_a_blocking_contract_check(graph):
    for key in tables(graph):
        check = graph.get_check_spec(dg.AssetCheckKey(key, CONTRACT))
        assert check.blocking, key
        assert check.description


def test_checks_of_people_interest_warn_and_do_not_block(graph):
    stops = (CONTRACT, "no_lookahead")
    names = {(check.asset_key.path[1], check.name) for check in graph.asset_check_keys if check.name != CONTRACT}
    assert ("instruments", "every_symbol_known") in names
    assert ("daily_raw_bars", "every_symbol_answered") in names
    assert ("daily_validated_bars", "nothing_quarantined") in names
    assert ("executions", "broker_and_ledger_agree") in names
    assert ("positions", "ledger_agrees_with_broker") in names
    for check in graph.asset_check_keys:
        assert graph.get_check_spec(check).blocking == (check.name in stops)


def test_partitions_are_the_sessions_of_the_calendar_up_to_today(graph):
    specs = configured_specs(SETTINGS)
    calendars = {f"{spec.name}_signals": spec.calendar for spec in specs}
    today = date(2024, 7, 5)
    now = get_calendar("XNYS").open_of(today)
    for name, calendar in calendars.items():
        partitions = graph.get(dg.AssetKey(["signals", name])).partitions_def
        keys = partitions.get_partition_keys(now)
        first = FIRST_ALWAYS_OPEN_SESSION if calendar == ALWAYS_OPEN else FIRST_SESSION
        assert keys == [day.isoformat() for day in get_calendar(calendar).sessions(first, today)]
        assert keys[-1] == "2024-07-05"


@pytest.mark.parametrize(
    ("moment", "newest"),
    [
        ("2024-07-03T03:59:59+00:00", "2024-07-02"),  # before midnight in New York
        ("2024-07-03T04:00:00+00:00", "2024-07-03"),  # midnight: the half day is there before it opens
        ("2024-07-04T15:00:00+00:00", "2024-07-05"),  # a holiday: the next session is there already
        ("2024-07-07T15:00:00+00:00", "2024-07-05"),  # a Sunday
        ("2012-10-30T15:00:00+00:00", "2012-10-31"),  # closed for a hurricane
        ("2024-03-11T04:00:00+00:00", "2024-03-11"),  # summer time began the day before
        ("2024-03-11T03:59:59+00:00", "2024-03-08"),
    ],
)
def test_a_session_appears_at_midnight_in_new_york_and_holidays_never_do(graph, moment, newest):
    partitions = graph.get(dg.AssetKey(["signals", "momentum_signals"])).partitions_def
    assert partitions.get_partition_keys(datetime.fromisoformat(moment))[-1] == newest


def test_account_wide_assets_have_no_partitions(graph):
    for path in (["orders", "executions"], ["portfolio", "positions"], ["portfolio", "performance"]):
        assert graph.get(dg.AssetKey(path)).partitions_def is None


def test_backfills_are_ranged_runs_and_single_ones_but_for_the_minute_feed(graph):
    """25 symbols in minutes are too many rows for one run of years; every other feed's backfill is one run."""
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        if node.partitions_def is not None and not key.path[1].startswith("minute_"):
            assert node.backfill_policy == dg.BackfillPolicy.single_run(), key
    minutes = {
        graph.get(key).backfill_policy for key in graph.get_all_asset_keys() if key.path[1].startswith("minute_")
    }
    assert minutes == {dg.BackfillPolicy.multi_run(83)}


def test_a_run_covers_no_more_sessions_than_make_a_million_rows():
    assert by_session("XNYS", 505)["backfill_policy"] == dg.BackfillPolicy.multi_run(1_980)
    assert by_session("XNYS", 5_000)["backfill_policy"] == dg.BackfillPolicy.multi_run(200)
    assert by_session("XNYS", 2_000_000)["backfill_policy"] == dg.BackfillPolicy.multi_run(1)
    assert by_session("XNYS", 5)["backfill_policy"] == dg.BackfillPolicy.single_run()


def test_a_backfill_maps_every_session_to_itself(graph):
    """A mapping that reaches back makes Dagster widen a chosen range and split it into a run per asset."""
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        for parent in node.parent_keys:
            if node.partitions_def is not None and graph.get(parent).partitions_def is not None:
                assert node.partition_mappings.get(parent) is None


def test_every_job_resolves_and_runs_in_this_process(defs):
    repository = defs.get_repository_def()
    names = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    expected = {f"{spec.name}_agent" for spec in configured_specs(SETTINGS)}
    expected |= {"daily_bars", "minute_bars", "tsla_bars", "iwm_bars", "btc_bars"}
    expected |= {"session_xnys", "session_24_7", "session_xnys_log", "session_24_7_log", "account", "instruments"}
    assert expected <= names
    for job in repository.get_all_jobs():
        assert job.executor_def.name == "in_process", job.name


def test_only_jobs_that_just_read_are_started_again_when_their_worker_dies(defs):
    for job in defs.get_repository_def().get_all_jobs():
        if not job.name.startswith("__"):
            expected = "1" if job.name.endswith("_bars") else "0"
            assert job.tags["dagster/max_retries"] == expected, job.name


def test_runs_without_a_tag_of_their_own_are_never_started_again():
    instance = yaml.safe_load((Path(__file__).parents[1] / "dagster.yaml").read_text())
    assert instance["run_retries"] == {"enabled": True, "max_retries": 0, "retry_on_asset_or_op_failure": False}


def test_nothing_that_can_place_an_order_carries_a_retry_policy(defs):
    for job in defs.get_repository_def().get_all_jobs():
        assert job.op_retry_policy is None
        for node in job.nodes:
            assert node.retry_policy is None, (job.name, node.name)
            assert getattr(node.definition, "retry_policy", None) is None, (job.name, node.name)


def test_agents_hold_their_whole_chain_and_nobody_elses(defs):
    repository = defs.get_repository_def()
    for spec in configured_specs(SETTINGS):
        keys = {tuple(key.path) for key in repository.get_job(f"{spec.name}_agent").asset_layer.executable_asset_keys}
        own = {key for key in keys if key[1].endswith(("_orders", "_signals", "_order_intents"))}
        assert own == {
            ("signals", f"{spec.name}_signals"),
            ("orders", f"{spec.name}_order_intents"),
            ("orders", f"{spec.name}_orders"),
        }


def test_jobs_that_collect_data_hold_no_order(defs):
    repository = defs.get_repository_def()
    for job in repository.get_all_jobs():
        if job.name.endswith(("_bars", "_log")) or job.name in ("account", "instruments"):
            names = [key.path[1] for key in job.asset_layer.executable_asset_keys]
            assert not [name for name in names if name.endswith(CAN_TRADE)], job.name


def test_reads_of_the_broker_share_the_pool_ibkr(graph):
    for key in graph.get_all_asset_keys():
        name = key.path[1]
        is_ibkr = name.endswith(("_raw_bars", "_orders", "_order_intents")) or key.path[0] == "portfolio"
        if is_ibkr or name in ("instruments", "executions"):
            assert graph.get(key).pools == {"ibkr"}, key


def test_settings_choose_host_port_account_and_mode():
    settings = Settings(_env_file=None, ibkr_host="gateway.example", ibkr_port=4001, mode="live", ibkr_account="U1")
    ibkr = build_resources(settings)["ibkr"]
    assert (ibkr.host, ibkr.port, ibkr.mode, ibkr.account) == ("gateway.example", 4001, "live", "U1")


def test_no_secret_is_part_of_a_resources_configuration():
    settings = Settings(
        _env_file=None,
        ledger_database_url="postgresql+psycopg2://me:hidden@host/ledger",
        mlflow_tracking_uri="postgresql+psycopg2://me:hidden@host/mlflow",
        dagster_database_url="postgresql+psycopg2://me:hidden@host/dagster",
    )
    for name, resource in build_resources(settings).items():
        assert "hidden" not in repr(resource), name
        assert "hidden" not in str(resource.model_dump()), name


def test_narrowed_symbols_narrow_assets_and_jobs():
    narrow = build_definitions(Settings(_env_file=None, symbols="AAPL,IBM"))
    names = {key.path[1] for key in narrow.resolve_asset_graph().get_all_asset_keys()}
    assert "momentum_orders" in names
    assert "tsla_orders" not in names
    assert narrow.get_repository_def().has_job("momentum_agent")
    assert not narrow.get_repository_def().has_job("tsla_agent")


def test_given_resources_replace_those_of_the_settings():
    mine = dg.ResourceDefinition.hardcoded_resource("mine")
    assert build_definitions(SETTINGS, {"mlflow": mine}).resources["mlflow"] is mine
