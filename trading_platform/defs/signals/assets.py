"""Signals as assets: what each strategy wants to hold. The decision is in ``domain.signals.strategies``."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from trading_platform.defs.common import (
    Outputs,
    asset,
    by_session,
    contract_check,
    emit,
    read_back,
    sessions_of,
    table_spec,
)
from trading_platform.defs.features.assets import features_key
from trading_platform.defs.market_data.assets import validated_key
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.platform import PlatformResource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pandas as pd

    from trading_platform.domain.signals.ticks import Decision

STAGE = "signals"


def signals_key(strategy: str) -> tuple[str, str]:
    """Key of the strategy's signals."""
    return STAGE, f"{strategy}_signals"


def build_signals(spec: StrategySpec) -> dg.AssetsDefinition:
    """The asset ``signals/<strategy>_signals``."""
    key = signals_key(spec.name)

    @asset(
        key=key,
        deps=[dg.AssetKey(features_key(spec.feed))],
        check_specs=[contract_check(key, "Signals")],
        **by_session(spec.calendar),
        **table_spec(
            key,
            "Signals",
            description=f"{spec.description} One row per symbol and tick; key `symbol, tick_utc`; weights are "
            "fractions of the strategy's capital; times in UTC. Of past sessions the last tick is computed.",
            owner=spec.owner,
        ),
    )
    def signals(context: dg.AssetExecutionContext, platform: PlatformResource, lake: LakeResource) -> Outputs:
        import pandas as pd

        from trading_platform.domain.calendars import get_calendar
        from trading_platform.domain.signals.ticks import decision_for
        from trading_platform.schemas.base import empty
        from trading_platform.schemas.signals import Signals

        features = read_back(lake, features_key(spec.feed), sessions_of(context), 1, spec.calendar)
        calendar, now = get_calendar(spec.calendar), platform.now()
        begun = [session for session in sessions_of(context) if calendar.open_of(session) <= now]
        decisions = [decision_for(spec, calendar, session, now) for session in begun]
        made = [_decide(platform.spec(spec.name), features, decision) for decision in decisions]
        made.append(_earlier_ticks(lake, key, decisions))
        frame = pd.concat([rows for rows in made if len(rows)] or [empty(Signals)], ignore_index=True)
        # rows stored before these columns existed
        frame = frame.reindex(columns=list(dict.fromkeys([*frame.columns, "volatility", "atr"])))
        yield from emit(
            context,
            frame,
            Signals,
            key,
            metadata={
                "skipped_sessions": len(context.partition_keys) - len(begun),
                **(_facts(frame, recent_bars(lake, spec, decisions[0].session)) if len(decisions) == 1 else {}),
            },
        )

    return signals


def _decide(spec: StrategySpec, features: "pd.DataFrame", decision: "Decision") -> "pd.DataFrame":
    from trading_platform.domain.signals.decide import signals_at, signals_table
    from trading_platform.domain.signals.loading import load_strategy

    return signals_table(spec, signals_at(spec, load_strategy(spec), features, decision), decision)


def _earlier_ticks(lake: LakeResource, key: tuple[str, str], decisions: "Sequence[Decision]") -> "pd.DataFrame":
    """The sessions' signals of earlier ticks: a tick adds to its session, it does not replace it."""
    newest = {decision.session.isoformat(): decision.tick_utc for decision in decisions}
    stored = lake.get_lake().read_sessions(key, list(newest), is_missing_ok=True)
    return stored[stored["tick_utc"] < stored["session"].map(newest)] if len(stored) else stored


def recent_bars(lake: LakeResource, spec: StrategySpec, session: "date") -> "pd.DataFrame":
    """Bars to draw a session's decisions on: of the session, for daily bars of the last sixty sessions."""
    from trading_platform.domain.calendars import get_calendar
    from trading_platform.domain.market_data.history import look_back

    back = look_back(session, min(60, spec.history_sessions) if spec.is_daily else 1, get_calendar(spec.calendar))
    return lake.get_lake().read_sessions(
        validated_key(spec.feed), [session.isoformat() for session in back], is_missing_ok=True
    )


def _shown(signals: "pd.DataFrame") -> list[str]:
    """Columns for the table of signals: what sizing reads only where it reads it."""
    read = [name for name in ("volatility", "atr") if signals[name].notna().any()]
    return ["symbol", "side", "target_weight", "confidence", "price", *read, "reason"]


def _facts(signals: "pd.DataFrame", bars: "pd.DataFrame") -> dict[str, Any]:
    """Counts, the newest tick's signals as a table, and candles of the two strongest symbols with all ticks."""
    from trading_platform.ops.metadata import table_metadata
    from trading_platform.ops.plots import Marker, candles

    if signals.empty:
        return {"long": 0, "short": 0, "flat": 0}
    latest = signals[signals["tick_utc"] == signals["tick_utc"].max()]
    strongest = latest.sort_values("target_weight", key=abs, ascending=False)["symbol"].head(2)
    pictures = {}
    for symbol in strongest:
        own, drawn = signals[signals["symbol"] == symbol], bars[bars["symbol"] == symbol]
        markers = [Marker(row.as_of_utc.to_pydatetime(), row.side) for row in own.itertuples()]
        origin = drawn["source"].iloc[-1] if len(drawn) else "no bars"
        # The first words tell made-up, replayed and IBKR's prices apart: "synthetic path", "real daily bars", "broker".
        pictures[f"candles {symbol}"] = candles(drawn, markers, title=f"{symbol} · {' '.join(origin.split()[:3])}")
    return {
        "long": int((latest["side"] == "LONG").sum()),
        "short": int((latest["side"] == "SHORT").sum()),
        "flat": int((latest["side"] == "FLAT").sum()),
        "gross_target_weight": float(latest["target_weight"].abs().sum()),
        "signals": table_metadata(latest[_shown(latest)]),
        **pictures,
    }
