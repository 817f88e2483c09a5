"""What a strategy says at one decision. The same lines for the asset, the replay and the backtest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trading_platform.domain.signals.model import Signal, Strategy
from trading_platform.domain.signals.sizing_inputs import with_sizing_inputs
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import Decision

if TYPE_CHECKING:
    import pandas as pd


def signals_at(spec: StrategySpec, strategy: Strategy, features: pd.DataFrame, decision: Decision) -> list[Signal]:
    """The strategy's signals at the decision, with what its sizing reads; features of later sessions are not shown.

    Args:
        strategy: the spec's strategy; see ``loading.load_strategy``.
        features: of the session and the one before it.
        decision: session, tick and moment.
    """
    known = features[features["session"] <= decision.session.isoformat()]
    made = strategy.signals(known, as_of=decision.as_of_utc)
    return with_sizing_inputs(made, spec.sizing, known, as_of=decision.as_of_utc)


def signals_table(spec: StrategySpec, signals: Sequence[Signal], decision: Decision) -> pd.DataFrame:
    """Signals of one decision as rows of the table ``signals``; without any there are no columns either."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "strategy": spec.name,
                "symbol": signal.symbol,
                "session": decision.session.isoformat(),
                "tick_utc": pd.Timestamp(decision.tick_utc),
                "as_of_utc": pd.Timestamp(decision.as_of_utc),
                "side": signal.side,
                "target_weight": signal.target_weight,
                "confidence": signal.confidence,
                "price": signal.price,
                "reason": signal.reason,
                "volatility": signal.volatility,
                "atr": signal.atr,
            }
            for signal in signals
        ]
    )
