"""The dynamic members of a feed as an asset: which symbols a watch list or a scan added to a session, and since when.

Here: what Dagster must know of them. Elsewhere: asking watch list, scanner and broker (``ingest.members``), the rules
(``domain.market_data.members``), who is collected because of it (``domain.market_data.member_records``).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from trading_platform.defs.common import (
    IBKR_POOL,
    Outputs,
    asset,
    by_session,
    contract_check,
    described,
    kept_contract,
    sessions_of,
    table_spec,
)
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.members import MembersSpec
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.platform import PlatformResource

if TYPE_CHECKING:
    from datetime import date

    from trading_platform.domain.market_data.member_records import RecordedMembers
    from trading_platform.domain.market_data.watch_lists import Watched
    from trading_platform.ingest.members import Look
    from trading_platform.storage.lake import Lake

SCAN_ANSWERED = "scan_answered"
EVERY_MEMBER_RESOLVED = "every_member_resolved"


def members_key(feed: str) -> tuple[str, str]:
    """Key of the feed's dynamic members."""
    return "market_data", f"{feed}_members"


def build_members(feeds: Iterable[Feed]) -> list[dg.AssetsDefinition]:
    """The asset ``market_data/<feed>_members`` of every feed that has dynamic members."""
    return [_members(feed, feed.members) for feed in feeds if feed.members is not None]


def _members(feed: Feed, spec: MembersSpec) -> dg.AssetsDefinition:
    key = members_key(feed.name)
    sources = [f"the watch list `{spec.watch_list}`"] if spec.watch_list is not None else []
    sources += [f"the scan {spec.scan}"] if spec.scan is not None else []

    @asset(
        key=key,
        check_specs=[
            contract_check(key, "FeedMembers"),
            dg.AssetCheckSpec(
                SCAN_ANSWERED,
                asset=dg.AssetKey(key),
                description="The scanner answered. If it did not, the members of earlier looks stay.",
            ),
            dg.AssetCheckSpec(
                EVERY_MEMBER_RESOLVED,
                asset=dg.AssetKey(key),
                description="Every symbol that a list named could become a member: the broker knows it as what the "
                "list meant, it trades on the feed's calendar, and the session had room.",
            ),
        ],
        pool=IBKR_POOL,
        **by_session(feed.calendar, feed.rows_per_session),
        **table_spec(
            key,
            "FeedMembers",
            description=f"Symbols that {' and '.join(sources)} added to the feed {feed.name} for one session, looked "
            f"for at each of its ticks until an hour after the close, at most {spec.max_members}. Nobody is taken "
            "away: who leaves the list is marked and stays until the session's end. A past session has the members "
            "recorded then; without a record it has none. Collected only: no strategy trades them unless they are in "
            "its own universe. One row per symbol; key `symbol, session`; times in UTC.",
            kinds=["ibkr"],
        ),
    )
    def members(
        context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, lake: LakeResource
    ) -> Outputs:
        from trading_platform.domain.calendars import get_calendar
        from trading_platform.domain.market_data.members import takes_members
        from trading_platform.ingest.members import look
        from trading_platform.schemas.base import validate
        from trading_platform.schemas.market_data import FeedMembers
        from trading_platform.storage.recorded_members import recorded_members

        store, now, calendar = lake.get_lake(), platform.now(), get_calendar(feed.calendar)
        sessions = sessions_of(context)
        current = next((session for session in sessions if takes_members(session, calendar, now)), None)
        recorded = recorded_members(store, key, feed, sessions)
        looked, written = None, None
        if current is not None:
            listed = _listed(platform, store, spec, now)
            known = recorded.by_session.get(current, ())
            looked = look(ibkr.broker, feed, spec, platform.universe.instruments, known, listed, now)
            if len(looked.failures) < len(sources):
                # a look at which no source answered leaves no record: it is not known that there was nobody
                recorded = recorded.with_session(current, looked.members)
                frame = validate(FeedMembers, _table(recorded, [current]))
                written = store.write_sessions(key, frame, [current.isoformat()])
        table = validate(FeedMembers, _table(recorded, sessions))
        yield dg.MaterializeResult(
            asset_key=dg.AssetKey(key),
            metadata=described(context, table, key, _facts(recorded, sessions, looked), written=written),
            check_results=[kept_contract(key, table), *_checks(dg.AssetKey(key), looked)],
        )

    return members


def _listed(platform: PlatformResource, store: "Lake", spec: MembersSpec, now: Any) -> "tuple[Watched, ...]":
    from trading_platform.domain.market_data.watch_lists import watched
    from trading_platform.storage.watch_changes import WatchChanges

    if spec.watch_list is None:
        return ()
    return watched(platform.watch_lists[spec.watch_list], WatchChanges(store).of(spec.watch_list), now)


def _table(recorded: "RecordedMembers", sessions: "Sequence[date]") -> Any:
    import pandas as pd

    from trading_platform.domain.market_data.member_records import members_table
    from trading_platform.schemas.base import empty
    from trading_platform.schemas.market_data import FeedMembers

    own = [(recorded.by_session.get(session, ()), session) for session in sessions]
    tables = [members_table(members, session) for members, session in own if members]
    return pd.concat(tables, ignore_index=True) if tables else empty(FeedMembers)


def _facts(recorded: "RecordedMembers", sessions: "Sequence[date]", looked: "Look | None") -> dict[str, Any]:
    """What Dagit shows: who belongs to the newest session and why, and what is not known."""
    from trading_platform.ops.metadata import table_metadata

    newest = max(sessions)
    ranks = looked.ranks if looked is not None else {}
    rows = [
        {
            "symbol": one.symbol,
            "source": one.source,
            "rank": one.rank,
            "rank now": ranks.get(one.symbol),
            "first seen": one.first_seen_utc,
            "left": one.left_utc,
            "why": one.why,
            "con_id": one.con_id,
        }
        for one in recorded.by_session.get(newest, ())
    ]
    facts: dict[str, Any] = {f"members of {newest}": table_metadata(rows)} if rows else {}
    if looked is None:
        facts["looked"] = (
            "not at all: members are looked for from a session's open until an hour after its close, "
            "and these are what was recorded then"
        )
    else:
        facts |= {
            "messages_to_the_broker": looked.messages,
            "left_the_list": sum(one.left_utc is not None for one in looked.members),
            "collected_anyway": ", ".join(looked.collected_anyway) or "none",
        }
    if recorded.unrecorded:
        few = ", ".join(session.isoformat() for session in recorded.unrecorded[:3])
        more = " …" if len(recorded.unrecorded) > 3 else ""
        facts["sessions_without_record"] = len(recorded.unrecorded)
        facts["no_record"] = f"no dynamic members in {few}{more}: nothing was recorded then, and nobody can know it now"
    return facts


def _checks(key: dg.AssetKey, looked: "Look | None") -> list[dg.AssetCheckResult]:
    from trading_platform.ops.metadata import table_metadata

    failures = [{"source": source, "reason": why} for source, why in looked.failures.items()] if looked else []
    left_out = looked.left_out if looked else ()
    return [
        dg.AssetCheckResult(
            asset_key=key,
            check_name=SCAN_ANSWERED,
            passed=not failures,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{failures[0]['reason']}. The members of earlier looks stay." if failures else None,
            metadata={"failures": table_metadata(failures)} if failures else {},
        ),
        dg.AssetCheckResult(
            asset_key=key,
            check_name=EVERY_MEMBER_RESOLVED,
            passed=not left_out,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"left_out": table_metadata(left_out)} if left_out else {},
        ),
    ]
