"""What `replay` and `backtest` are asked to do, checked before anything is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import yaml

from trading_platform.domain.backtest.moments import start_of
from trading_platform.domain.calendars import FIRST_SESSION, get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.history import look_back
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.orders.risk.limits import AccountLimits
from trading_platform.domain.signals.loading import load_strategy
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.ops.local import LocalPlatformError, export
from trading_platform.settings import Settings, get_settings
from trading_platform.specs.configured import configured_specs
from trading_platform.specs.loader import load_data_quality, load_risk_limits, load_universe


@dataclass(frozen=True)
class HistoryOptions:
    """The commands' options. ``parameters`` are texts such as ``lookback=126``; ``data`` a directory of bars."""

    first: date
    last: date
    strategies: tuple[str, ...] = ()
    symbols: str | None = None
    parameters: tuple[str, ...] = ()
    data: Path | None = None
    json_file: Path | None = None


@dataclass(frozen=True)
class HistoryRequest:
    """Strategies over the sessions from ``first`` to ``last``; ``start`` is the first of their opens."""

    settings: Settings
    specs: tuple[StrategySpec, ...]
    first: date
    last: date
    start: datetime
    data_dir: Path | None
    instruments: Mapping[str, Instrument]
    account_limits: AccountLimits
    quality: DataQuality


def prepare(options: HistoryOptions) -> HistoryRequest:
    """Check the options against the specs and the calendars.

    Raises:
        LocalPlatformError: a date, a strategy or a parameter is wrong; the message says what to do.
        SpecError, StrategyError, UnknownSymbolError: a file, a parameter's value or a symbol is wrong.
    """
    settings = export({"symbols": options.symbols}) if options.symbols else get_settings()
    specs = tuple(
        _with_parameters(spec, options.parameters, options.strategies)
        for spec in _chosen(configured_specs(settings), options.strategies)
    )
    _require_past(options, specs, settings.clock.now())
    start = start_of(specs, options.first, options.last)
    if start is None:
        msg = f"no session of {', '.join(sorted({spec.calendar for spec in specs}))} lies in these days: choose others"
        raise LocalPlatformError(msg)
    for spec in specs:
        load_strategy(spec)
    universe = load_universe(settings.strategies).since(start.date())
    return HistoryRequest(
        settings=settings,
        specs=specs,
        first=options.first,
        last=options.last,
        start=start,
        data_dir=options.data or settings.paper_data,
        instruments=universe.instruments,
        account_limits=load_risk_limits(settings.strategies, universe=universe).account,
        quality=load_data_quality(settings.strategies),
    )


def _chosen(specs: Sequence[StrategySpec], names: Sequence[str]) -> Sequence[StrategySpec]:
    known = {spec.name: spec for spec in specs}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(known) or 'none'}"
            msg = f"there is no strategy {name!r}{hint}"
            raise LocalPlatformError(msg)
    if not specs:
        msg = "no strategy is left: name a symbol of a strategy's universe"
        raise LocalPlatformError(msg)
    return [spec for spec in specs if not names or spec.name in names]


def _with_parameters(spec: StrategySpec, texts: Sequence[str], names: Sequence[str]) -> StrategySpec:
    if not texts:
        return spec
    if len(names) != 1:
        msg = "--set changes the parameters of one strategy: name it with --strategy"
        raise LocalPlatformError(msg)
    changes = dict(spec.parameters)
    for text in texts:
        name, is_assigned, value = text.partition("=")
        if not is_assigned or not name:
            msg = f"--set {text}: write it like --set lookback=126"
            raise LocalPlatformError(msg)
        changes[name.strip()] = yaml.safe_load(value)
    return spec.model_copy(update={"parameters": changes})


def _require_past(options: HistoryOptions, specs: Sequence[StrategySpec], now: datetime) -> None:
    if options.first > options.last:
        msg = f"--from {options.first} lies after --to {options.last}: turn them round"
        raise LocalPlatformError(msg)
    for spec in specs:
        calendar = get_calendar(spec.calendar)
        sessions = calendar.sessions(options.first, options.last)
        if sessions and calendar.close_of(sessions[-1]) > now:
            latest = calendar.last_completed_session(now)
            msg = f"--to {options.last}: only sessions that have closed can be replayed, the last of them is {latest}"
            raise LocalPlatformError(msg)
        try:
            look_back(sessions[0] if sessions else options.first, spec.history_sessions if sessions else 0, calendar)
        except ValueError as error:
            if not sessions and options.first >= FIRST_SESSION:
                continue
            msg = f"--from {options.first}: {spec.name} needs {spec.history_sessions} sessions before it: {error}"
            raise LocalPlatformError(msg) from error
