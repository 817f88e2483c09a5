"""Configuration of one paper gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from trading_platform.paper_gateway.pacing import HistoryRules


@dataclass(frozen=True)
class GatewayConfig:
    """How a paper gateway runs. The defaults are a private paper account on IB Gateway's paper port.

    Attributes:
        host: interface to listen on; the protocol is plain text, so loopback.
        port: 0 takes a free one.
        account: the one account id; paper accounts start with D.
        cash: USD the account starts with when there is no saved state.
        seed: of everything the market makes up.
        data_dir: Parquet or CSV bars to replay beside the bundled ones.
        state_path: file that orders and positions survive a restart in; None keeps them in memory.
        pacing_enabled: whether IBKR's limits are enforced (message rate, history, active orders).
        history_rules: the limits for historical data.
        step_seconds: how often matching looks at the clock.
        max_clients: simultaneous API clients.
        unsubscribed: symbols without live market data, for which clients get error 354 or delayed ticks.
    """

    host: str = "127.0.0.1"
    port: int = 4002
    account: str = "DU1000000"
    cash: Decimal = Decimal(1_000_000)
    seed: int = 7
    data_dir: Path | None = None
    state_path: Path | None = None
    pacing_enabled: bool = True
    history_rules: HistoryRules = field(default_factory=HistoryRules)
    step_seconds: float = 0.05
    max_clients: int = 32
    unsubscribed: frozenset[str] = frozenset()
