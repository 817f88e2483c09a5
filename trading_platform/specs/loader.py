"""Reads strategy specs, risk limits, data quality, the universe. Every mistake is named with file, key and remedy.

Light to import and to run, since every process that loads the definitions comes by here: YAML and pydantic
only. A spec is checked whole when it is loaded: its fields, its strategy's parameters, its symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trading_platform.domain.calendars import ALWAYS_OPEN
from trading_platform.domain.instruments import Instrument, SecurityType
from trading_platform.domain.market_data.feeds import DAILY, MINUTE
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.orders.ids import InvalidOrderIdError, ensure_orders_can_be_named
from trading_platform.domain.orders.risk.limits import Limits, RiskLimits
from trading_platform.domain.signals.loading import StrategyError, build_strategy
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.specs.yaml_file import read_mapping

SHIPPED = Path(__file__).parent
UNIVERSE_FILE = "universe.yaml"
RISK_FILE = "risk.yaml"
QUALITY_FILE = "data_quality.yaml"
SOURCES_FILE = "sources.yaml"
OTHER_FILES = (UNIVERSE_FILE, RISK_FILE, QUALITY_FILE, SOURCES_FILE)
FEED_NAMES = (DAILY, MINUTE)
UNION_MEMBERS = {"float", "int", "str", "bool"}
USUAL_CALENDARS = (ALWAYS_OPEN, "XNYS")

Model = TypeVar("Model", bound=BaseModel)


class SpecError(ValueError):
    """A file of specs is wrong. ``path`` and ``key`` say where; ``key`` is dotted and may be empty."""

    def __init__(self, path: Path, key: str, problem: str) -> None:
        super().__init__(f"{path}: {key}: {problem}" if key else f"{path}: {problem}")
        self.path = path
        self.key = key


class UnknownSymbolError(ValueError):
    """Asked to narrow the universe to a symbol that is in none."""


@dataclass(frozen=True)
class Universe:
    """What can be traded, by symbol, and the symbols of the minute ingest."""

    instruments: Mapping[str, Instrument]
    ingest: tuple[str, ...]


class _InstrumentEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    security_type: SecurityType = "STK"
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    calendar: str = "XNYS"
    lot_size: Decimal = Field(default=Decimal(1), gt=0)
    sector: str = Field(default="", pattern=r"^[a-z_]*$")


class _UniverseFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    instruments: dict[str, _InstrumentEntry] = Field(min_length=1)
    ingest: tuple[str, ...] = ()


def load_universe(path: Path | None = None) -> Universe:
    """Read the instruments and the ingest's symbols.

    ``path`` is a file, or a directory that may hold a ``universe.yaml``; without one the shipped file is read.

    Raises:
        SpecError: the file can't be read or says something wrong.
    """
    file = _file_of(path, UNIVERSE_FILE)
    entries = _parse(_UniverseFile, file)
    for symbol, entry in entries.instruments.items():
        _check_calendar(entry.calendar, file, f"instruments.{symbol}.calendar")
    instruments = {
        symbol: Instrument(symbol=symbol, **entry.model_dump()) for symbol, entry in entries.instruments.items()
    }
    _check_symbols(entries.ingest, instruments, file, "ingest", calendar=None)
    twice = sorted({symbol for symbol in entries.ingest if entries.ingest.count(symbol) > 1})
    if twice:
        raise SpecError(file, "ingest", f"names {', '.join(twice)} twice")
    calendars = sorted({instruments[symbol].calendar for symbol in entries.ingest})
    if len(calendars) > 1:
        raise SpecError(file, "ingest", f"symbols must share one calendar, but theirs are {', '.join(calendars)}")
    return Universe(instruments, entries.ingest)


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
    instruments = (universe or load_universe(directory)).instruments
    read: dict[str, tuple[Path, StrategySpec]] = {}
    for file in files:
        spec = _load_spec(file, instruments)
        if spec.name in read:
            raise SpecError(file, "name", f"the name {spec.name!r} is taken by {read[spec.name][0].name}")
        read[spec.name] = (file, spec)
    load_data_quality(directory, feeds={*FEED_NAMES, *read})  # a mistake there is told before anything starts
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
    file = _file_of(directory, RISK_FILE)
    limits = _parse(RiskLimits, file)
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
    file = _file_of(directory, QUALITY_FILE)
    quality = _parse(DataQuality, file)
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

    A strategy that is left without a symbol is left out. ``universe`` adds the symbols of the ingest to those
    that are known.

    Raises:
        UnknownSymbolError: a symbol is in no strategy's universe and not in the ingest.
    """
    if symbols is None:
        return tuple(specs)
    wanted = dict.fromkeys(symbols)
    known = {symbol for spec in specs for symbol in spec.universe} | set(universe.ingest if universe else ())
    unknown = [symbol for symbol in wanted if symbol not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known) if len(unknown) == 1 else ""
        msg = f"unknown symbol {', '.join(unknown)}{hint}: no universe holds it; known: {', '.join(sorted(known))}"
        raise UnknownSymbolError(msg)
    kept = {spec.name: tuple(symbol for symbol in spec.universe if symbol in wanted) for spec in specs}
    return tuple(spec.model_copy(update={"universe": kept[spec.name]}) for spec in specs if kept[spec.name])


def narrow_ingest(universe: Universe, symbols: Iterable[str] | None) -> Universe:
    """Keep only ``symbols`` in the ingest; ``None`` keeps all. Instruments stay. Unknown ones: see :func:`narrow`."""
    if symbols is None:
        return universe
    wanted = set(symbols)
    return replace(universe, ingest=tuple(symbol for symbol in universe.ingest if symbol in wanted))


def _file_of(path: Path | None, name: str) -> Path:
    """The file called ``name`` in a directory, or the shipped one where it has none; a file stands for itself."""
    if path is None:
        return SHIPPED / name
    if path.is_dir():
        beside = path / name
        return beside if beside.exists() else SHIPPED / name
    return path


def _check_limit_symbols(limits: Limits, instruments: Mapping[str, Instrument], file: Path, key: str) -> None:
    """A misspelt symbol in a list would restrict nothing."""
    _check_symbols(sorted(limits.restricted_symbols), instruments, file, f"{key}.restricted_symbols", calendar=None)
    _check_symbols(sorted(limits.allowed_symbols or ()), instruments, file, f"{key}.allowed_symbols", calendar=None)


def _load_spec(file: Path, instruments: Mapping[str, Instrument]) -> StrategySpec:
    spec = _parse(StrategySpec, file)
    for key in ("limits", "account_limits"):
        if key in spec.model_fields_set:
            raise SpecError(file, key, f"limits are written in {RISK_FILE}: move them to strategies.{spec.name} there")
    if spec.name in FEED_NAMES:
        raise SpecError(file, "name", f"{spec.name!r} is the name of a feed; choose another")
    _check_calendar(spec.calendar, file, "calendar")
    _check_symbols(spec.universe, instruments, file, "universe", calendar=spec.calendar)
    try:
        ensure_orders_can_be_named(spec.name, spec.universe, leg="s" if spec.order.bracket is not None else "")
    except InvalidOrderIdError as error:
        raise SpecError(file, "name", str(error)) from error
    try:
        build_strategy(spec)
    except StrategyError as error:
        raise SpecError(file, error.key, str(error)) from error
    return spec


def _parse(model: type[Model], file: Path) -> Model:
    try:
        return model.model_validate(read_mapping(file))
    except ValidationError as error:
        problems: dict[str, str] = {}
        for case in error.errors(include_url=False):
            problems.setdefault(_dotted(case["loc"]), _problem(model, case))
        (key, first), *others = problems.items()
        more = "".join(f"; {other}: {problem}" for other, problem in others)
        raise SpecError(file, key, first + more) from error
    except (OSError, ValueError) as error:
        raise SpecError(file, "", str(error)) from error


def _dotted(location: Sequence[int | str]) -> str:
    parts = [str(part) for part in location if part != "[key]"]
    if parts[-1:] and parts[-1] in UNION_MEMBERS:
        del parts[-1]  # pydantic complains once per type that a parameter may have
    return ".".join(parts)


def _problem(model: type[BaseModel], case: Any) -> str:
    """One of pydantic's complaints in words that say what to do."""
    *parents, last = case["loc"] or ("",)
    owner = _model_at(model, parents)
    if case["type"] == "extra_forbidden":
        known = list(owner.model_fields) if owner else []
        return "unknown key" + (did_you_mean(str(last), known) or f"; known: {', '.join(known)}")
    if case["type"] == "missing":
        return "this key is missing"
    if case["type"] == "literal_error" and owner is not None and str(last) in owner.model_fields:
        choices = [str(choice) for choice in get_args(owner.model_fields[str(last)].annotation)]
        hint = did_you_mean(str(case["input"]), choices)
        return f"{case['input']!r} is none of {', '.join(choices)}{hint}"
    message = str(case["msg"]).removeprefix("Value error, ")
    return message if not case["loc"] else f"{message} (it says {case['input']!r})"


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel] | None:
    """The model that describes the mapping at ``path``; ``None`` where none does."""
    current: type[BaseModel] | None = model
    for part in path:
        field = current.model_fields.get(str(part)) if current else None
        if field is None:
            continue  # a key of a mapping, such as a symbol
        kinds = [field.annotation, *get_args(field.annotation)]
        current = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return current


def _check_symbols(
    symbols: Sequence[str], instruments: Mapping[str, Instrument], file: Path, key: str, *, calendar: str | None
) -> None:
    for symbol in symbols:
        if symbol not in instruments:
            hint = did_you_mean(symbol, instruments) or f"; known: {', '.join(sorted(instruments))}"
            raise SpecError(file, key, f"there is no instrument {symbol!r} in the universe file{hint}")
        if calendar is not None and instruments[symbol].calendar != calendar:
            other = instruments[symbol].calendar
            raise SpecError(file, "calendar", f"{symbol} trades on {other}, but the strategy says {calendar}")


def _check_calendar(name: str, file: Path, key: str) -> None:
    if name in USUAL_CALENDARS:
        return
    import exchange_calendars  # slow, so only for what is unusual or wrong

    known = [ALWAYS_OPEN, *exchange_calendars.get_calendar_names(include_aliases=False)]
    if name not in known:
        hint = did_you_mean(name, known) or f"; use an exchange_calendars code such as XNYS, or {ALWAYS_OPEN}"
        raise SpecError(file, key, f"unknown calendar {name!r}{hint}")
