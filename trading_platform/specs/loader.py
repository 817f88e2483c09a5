"""Reads strategy specs, risk limits, data quality, the universe. Every mistake is named with file, key and remedy.

Light to import and to run, since every process that loads the definitions comes by here: YAML and pydantic
only. A spec is checked whole when it is loaded: its fields, its strategy's parameters, its symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.orders.ids import InvalidOrderIdError, ensure_orders_can_be_named
from trading_platform.domain.orders.risk.limits import Limits, RiskLimits
from trading_platform.domain.signals.loading import StrategyError, build_strategy
from trading_platform.domain.signals.spec import DAILY, StrategySpec
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.specs.parsing import SHIPPED, SpecError, check_calendar, check_symbols, file_of, parse
from trading_platform.specs.universe import UNIVERSE_FILE, Universe, check_bar_size, load_universe, narrow_ingest
from trading_platform.specs.watch_lists import WATCH_LISTS_FILE

__all__ = [
    "SHIPPED",
    "SpecError",
    "Universe",
    "UnknownSymbolError",
    "load_data_quality",
    "load_risk_limits",
    "load_strategy_specs",
    "load_universe",
    "narrow",
    "narrow_ingest",
]

RISK_FILE = "risk.yaml"
QUALITY_FILE = "data_quality.yaml"
SOURCES_FILE = "sources.yaml"
OTHER_FILES = (UNIVERSE_FILE, RISK_FILE, QUALITY_FILE, SOURCES_FILE, WATCH_LISTS_FILE)


class UnknownSymbolError(ValueError):
    """Asked to narrow the universe to a symbol that is in none."""


def load_strategy_specs(directory: Path | None = None, *, universe: Universe | None = None) -> tuple[StrategySpec, ...]:
    """Read every ``*.yaml`` of ``directory`` (unset: the shipped one) as a strategy spec, ordered by name.

    ``universe`` is what their symbols are looked up in; unset: ``universe.yaml`` of the directory, or the
    shipped one.

    Raises:
        SpecError: a file can't be read or says something wrong, or there is none.
    """
    folder = directory or SHIPPED / "strategies"
    if not folder.is_dir():
        raise SpecError(folder, "", "is no directory of strategy specs; set TRADING_PLATFORM_STRATEGIES to one")
    files = sorted(
        file for file in folder.iterdir() if file.suffix in {".yaml", ".yml"} and file.name not in OTHER_FILES
    )
    if not files:
        raise SpecError(folder, "", "holds no strategy spec (*.yaml)")
    universe = universe or load_universe(directory)
    ingested = {feed.name for feed in universe.feeds}
    read: dict[str, tuple[Path, StrategySpec]] = {}
    for file in files:
        spec = _load_spec(file, universe.instruments)
        if spec.name in read:
            raise SpecError(file, "name", f"the name {spec.name!r} is taken by {read[spec.name][0].name}")
        read[spec.name] = (file, spec)
    shared = {DAILY, *ingested, *(spec.feed for _, spec in read.values() if spec.is_daily)}
    for file, spec in read.values():
        if spec.name in shared:
            raise SpecError(file, "name", f"{spec.name!r} is the name of a feed; choose another")
    load_data_quality(directory, feeds={*shared, *read})  # a mistake there is told before anything starts
    limits = load_risk_limits(directory, universe=universe, strategies=read)
    return tuple(
        read[name][1].model_copy(update={"limits": limits.for_strategy(name), "account_limits": limits.account})
        for name in sorted(read)
    )


def load_risk_limits(
    directory: Path | None = None, *, universe: Universe | None = None, strategies: Iterable[str] | None = None
) -> RiskLimits:
    """Read ``risk.yaml`` of ``directory``, or the shipped one where it has none.

    ``strategies`` are the names of the directory's specs: a section for any other is a mistake in the file, unless
    it is the shipped one beside other strategies.

    Raises:
        SpecError: the file can't be read or says something wrong, or a strategy's limit is looser than the
            account's.
    """
    file = file_of(directory, RISK_FILE)
    limits = parse(RiskLimits, file)
    instruments = (universe or load_universe(directory)).instruments
    names = None if strategies is None else sorted(strategies)
    is_own = directory is None or file.parent == directory
    for name, own in limits.strategies.items():
        if names is not None and is_own and name not in names:
            hint = did_you_mean(name, names) or f"; known: {', '.join(names)}"
            raise SpecError(file, f"strategies.{name}", f"there is no strategy {name!r}{hint}")
        for looser in limits.looser_limits(name):
            problem = (
                f"{looser.strategy_value} is looser than the account's {looser.account_value}: "
                "a strategy may only tighten limits"
            )
            raise SpecError(file, f"strategies.{name}.{looser.field}", problem)
        if is_own:
            _check_limit_symbols(own, instruments, file, f"strategies.{name}")
    if is_own:
        _check_limit_symbols(limits.account, instruments, file, "account")
    return limits


def load_data_quality(directory: Path | None = None, *, feeds: Iterable[str] | None = None) -> DataQuality:
    """Read ``data_quality.yaml`` of ``directory``, or the shipped one where it has none.

    ``feeds`` are the names of the feeds in use: a section for any other is a mistake in the file, unless it is the
    shipped one beside other strategies.

    Raises:
        SpecError: the file can't be read or says something wrong.
    """
    file = file_of(directory, QUALITY_FILE)
    quality = parse(DataQuality, file)
    is_own = directory is None or file.parent == directory
    known = sorted(feeds or ())
    for name in quality.feeds if is_own and feeds is not None else ():
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
            raise SpecError(file, f"feeds.{name}", f"there is no feed {name!r}{hint}")
    return quality


def narrow(
    specs: Sequence[StrategySpec], symbols: Iterable[str] | None, *, universe: Universe | None = None
) -> tuple[StrategySpec, ...]:
    """Keep only ``symbols`` in every strategy's universe; ``None`` keeps all.

    A strategy that is left without a symbol is left out. ``universe`` adds the symbols of the ingest feeds to those
    that are known.

    Raises:
        UnknownSymbolError: a symbol is in no strategy's universe and in no ingest feed.
    """
    if symbols is None:
        return tuple(specs)
    wanted = dict.fromkeys(symbols)
    known = {symbol for spec in specs for symbol in spec.universe} | set(universe.ingested if universe else ())
    unknown = [symbol for symbol in wanted if symbol not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known) if len(unknown) == 1 else ""
        msg = f"unknown symbol {', '.join(unknown)}{hint}: no universe holds it; known: {', '.join(sorted(known))}"
        raise UnknownSymbolError(msg)
    kept = {spec.name: tuple(symbol for symbol in spec.universe if symbol in wanted) for spec in specs}
    return tuple(spec.model_copy(update={"universe": kept[spec.name]}) for spec in specs if kept[spec.name])


def _check_limit_symbols(limits: Limits, instruments: Mapping[str, Instrument], file: Path, key: str) -> None:
    """A misspelt symbol in a list would restrict nothing."""
    check_symbols(sorted(limits.restricted_symbols), instruments, file, f"{key}.restricted_symbols", calendar=None)
    check_symbols(sorted(limits.allowed_symbols or ()), instruments, file, f"{key}.allowed_symbols", calendar=None)


def _load_spec(file: Path, instruments: Mapping[str, Instrument]) -> StrategySpec:
    spec = parse(StrategySpec, file)
    for key in ("limits", "account_limits"):
        if key in spec.model_fields_set:
            raise SpecError(file, key, f"limits are written in {RISK_FILE}: move them to strategies.{spec.name} there")
    check_calendar(spec.calendar, file, "calendar")
    check_symbols(spec.universe, instruments, file, "universe", calendar=spec.calendar)
    check_bar_size(spec.universe, spec.bar_size, instruments, file, "bar_size")
    for symbol in spec.universe:
        if why := instruments[symbol].why_not_tradable:
            problem = f"no strategy may trade {symbol}: {why}. A feed of {UNIVERSE_FILE} may collect its bars"
            raise SpecError(file, "universe", problem)
    try:
        ensure_orders_can_be_named(spec.name, spec.universe, leg="s" if spec.order.bracket is not None else "")
    except InvalidOrderIdError as error:
        raise SpecError(file, "name", str(error)) from error
    try:
        build_strategy(spec)
    except StrategyError as error:
        raise SpecError(file, error.key, str(error)) from error
    return spec
