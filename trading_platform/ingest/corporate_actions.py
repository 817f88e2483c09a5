"""Learn of splits and dividends: the broker's adjusted closes beside those that the platform keeps as traded.

IBKR has no feed of corporate actions for an ordinary account, but its bars come in two kinds. ADJUSTED_LAST is
adjusted for splits and dividends as of now. The stored bars are as they traded when they were received, so the two
differ by exactly the actions since. (IBKR's TRADES are adjusted for splits after the fact; stored bars that were
received before a split are not, and so the split shows as well.)
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

import numpy as np
import pandas as pd

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.corporate_actions import (
    ActionKind,
    CorporateAction,
    CorporateActionError,
    derive_actions,
)
from trading_platform.schemas.base import empty
from trading_platform.schemas.market_data import CorporateActions

LOOK_BACK = "1 Y"
REQUESTS_AT_ONCE = 8
SOURCE = "ADJUSTED_LAST against bars as traded"
KEY = ["symbol", "ex_session", "kind"]


@dataclass(frozen=True)
class LearnedActions:
    """``table`` as :class:`CorporateActions`, old and new; ``failures`` by symbol, in words.

    ``vanished`` are actions of the look-back that the source does not show any more. They are kept.
    """

    table: pd.DataFrame
    new: int
    vanished: pd.DataFrame
    failures: Mapping[str, str]


def learn_actions(
    broker: Broker,
    instruments: Mapping[str, Instrument],
    bars: pd.DataFrame,
    known: pd.DataFrame,
    *,
    now: datetime,
) -> LearnedActions:
    """Compare the stocks among ``bars`` with the broker's adjusted closes of the last year, one request each.

    Args:
        instruments: by symbol; other kinds than stocks have no actions and are not asked for.
        bars: stored daily bars, columns ``symbol, session, close, is_final``; what the broker has no bar for is left
            out. The session that is running need not be among them: adjusted as of now, its bar is as traded.
        known: the table as it was.
        now: tz-aware UTC, stamps what is new.

    Raises:
        BrokerConnectionError: the broker can't be reached.
    """
    final = bars[bars["is_final"]]
    symbols = [name for name in sorted(final["symbol"].unique()) if instruments[name].security_type == "STK"]
    by_symbol = dict(iter(final.groupby("symbol", sort=False)))

    def learn(symbol: str) -> tuple[list[CorporateAction], str] | str:
        try:
            adjusted = broker.historical_bars(
                instruments[symbol], end=None, duration=LOOK_BACK, bar_size="1 day", is_adjusted=True
            )
            grain = float(broker.instrument_details(instruments[symbol]).min_tick)
            return _compare(symbol, by_symbol[symbol], adjusted, grain)
        except BrokerConnectionError:
            raise
        except (BrokerError, CorporateActionError) as error:
            return str(error)

    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="corporate-actions") as pool:
        answers = dict(zip(symbols, pool.map(learn, symbols), strict=True))
    failures = {symbol: answer for symbol, answer in answers.items() if isinstance(answer, str)}
    compared = {symbol: answer for symbol, answer in answers.items() if not isinstance(answer, str)}
    found = [action for actions, _ in compared.values() for action in actions]
    stamp = pd.Timestamp(now).as_unit("ns")
    fresh = pd.DataFrame(
        [
            {
                "symbol": action.symbol,
                "ex_session": action.ex_session.isoformat(),
                "kind": action.kind,
                "value": action.value,
                "source": action.source,
                "first_seen_utc": stamp,
                "last_confirmed_utc": stamp,
            }
            for action in found
        ]
    )
    return _merge(known, fresh if len(fresh) else empty(CorporateActions), compared, failures)


def actions_of(table: pd.DataFrame) -> list[CorporateAction]:
    """The table's rows as values."""
    return [
        CorporateAction(
            str(row["symbol"]),
            date.fromisoformat(row["ex_session"]),
            cast("ActionKind", row["kind"]),
            float(row["value"]),
            str(row["source"]),
        )
        for row in table.to_dict("records")
    ]


def _compare(
    symbol: str, stored: pd.DataFrame, adjusted: pd.DataFrame, grain: float
) -> tuple[list[CorporateAction], str]:
    """The actions of the sessions that both have, and the first of these sessions."""
    theirs = pd.Series(
        adjusted["close"].to_numpy(dtype=np.float64), index=adjusted["ts_utc"].dt.strftime("%Y-%m-%d").to_numpy()
    )
    ours = stored.sort_values("session").set_index("session")["close"]
    both = ours.index.intersection(theirs.index)
    if both.empty:
        return [], ""
    running = theirs.index[-1]
    if len(theirs) > 1 and ours.index[-1] == theirs.index[-2]:  # with a gap the ex-session could not be told
        ours.loc[running], both = theirs.iloc[-1], both.append(pd.Index([running]))
    actions = derive_actions(
        symbol,
        list(both),
        ours[both].to_numpy(dtype=np.float64),
        theirs[both].to_numpy(dtype=np.float64),
        grain=grain,
        source=SOURCE,
    )
    return actions, str(both[0])


def _merge(
    known: pd.DataFrame,
    fresh: pd.DataFrame,
    compared: Mapping[str, tuple[list[CorporateAction], str]],
    failures: Mapping[str, str],
) -> LearnedActions:
    """Old and new rows. What was seen first keeps that time; value and confirmation are the newest."""
    before = known.set_index(KEY) if len(known) else known
    is_new = np.ones(len(fresh), dtype=bool)
    if len(known) and len(fresh):
        place = before.index.get_indexer(pd.MultiIndex.from_frame(fresh[KEY]))
        is_new = place < 0
        old = known["first_seen_utc"].to_numpy()[place]
        fresh = fresh.assign(first_seen_utc=fresh["first_seen_utc"].where(is_new, pd.Series(old, index=fresh.index)))
    first_compared = known["symbol"].map({symbol: first for symbol, (_, first) in compared.items()})
    # the first session compared can't show an action: there is nothing before it to compare with
    is_covered = first_compared.notna() & (first_compared != "") & (known["ex_session"] > first_compared.fillna(""))
    is_shown = pd.MultiIndex.from_frame(known[KEY]).isin(pd.MultiIndex.from_frame(fresh[KEY]))
    kept = known[~is_shown]
    frames = [frame for frame in (kept, fresh) if len(frame)]
    table = pd.concat(frames, ignore_index=True).sort_values(KEY, ignore_index=True) if frames else known
    return LearnedActions(table, int(is_new.sum()), known[is_covered.to_numpy() & ~is_shown], failures)
