"""From a spec to its strategy: finds the class by name and checks the parameters against its fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, cast

from trading_platform.domain.signals import strategies
from trading_platform.domain.signals.model import Strategy
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.suggestions import did_you_mean

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class StrategyError(ValueError):
    """A spec does not fit its strategy. ``key`` is the spec's field that is wrong."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def known_strategies() -> tuple[str, ...]:
    """Names that a spec's ``strategy`` may have, sorted."""
    return tuple(sorted(module.name for module in iter_modules(strategies.__path__)))


def strategy_class(name: str) -> type[Strategy]:
    """The class that the module ``name`` in ``domain.signals.strategies`` exports as ``STRATEGY``.

    Raises:
        StrategyError: no such module, or it exports no ``STRATEGY``.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name not in known_strategies():
        known = known_strategies()
        msg = f"there is no strategy {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}"
        raise StrategyError(msg, "strategy")
    found = getattr(import_module(f"{strategies.__name__}.{name}"), "STRATEGY", None)
    if not (isinstance(found, type) and is_dataclass(found)):
        msg = f"the module of strategy {name!r} must export its dataclass as STRATEGY"
        raise StrategyError(msg, "strategy")
    return cast("type[Strategy]", found)


def build_strategy(spec: StrategySpec) -> Strategy:
    """Construct the spec's strategy with its parameters. Light: computes nothing, looks at no feature.

    Raises:
        StrategyError: unknown strategy; a parameter that it does not have, of the wrong kind or senseless.
    """
    found: Any = strategy_class(spec.strategy)
    _check_parameters(spec.strategy, found, spec.parameters)
    try:
        return cast("Strategy", found(**spec.parameters))
    except ValueError as error:
        msg = f"{spec.strategy}: {error}"
        raise StrategyError(msg, "parameters") from error


def features_of(spec: StrategySpec) -> tuple[str, ...]:
    """Names of the features that the spec's strategy and its sizing read, sorted.

    Raises:
        StrategyError: see :func:`build_strategy`.
    """
    return tuple(sorted({*build_strategy(spec).features, *spec.sizing.features}))


def required_bars(spec: StrategySpec) -> int:
    """How many bars per symbol, the newest included, the features of strategy and sizing need.

    Raises:
        StrategyError: see :func:`build_strategy`.
        UnknownFeatureError: the strategy reads a feature that the registry lacks.
    """
    from trading_platform.domain.features.compute import warm_up

    return warm_up(features_of(spec))


def load_strategy(spec: StrategySpec) -> Strategy:
    """Construct the spec's strategy, and make sure that the spec gives it the history it needs.

    Raises:
        StrategyError: unknown strategy, bad parameters, too few ``history_sessions``, or a universe without a symbol
            that a feature is held against.
        UnknownFeatureError: the strategy reads a feature that the registry lacks.
    """
    from trading_platform.domain.calendars import get_calendar
    from trading_platform.domain.market_data.bars import bars_per_session

    strategy = build_strategy(spec)
    _check_references(spec, strategy)
    needed, per_session = required_bars(spec), bars_per_session(spec.bar_size, get_calendar(spec.calendar))
    if spec.history_sessions * per_session < needed:
        msg = (
            f"{spec.name} needs {needed} bars of {spec.bar_size} and history_sessions: {spec.history_sessions} "
            f"gives {spec.history_sessions * per_session}; set history_sessions to {-(-needed // per_session)} or more"
        )
        raise StrategyError(msg, "history_sessions")
    return strategy


def _check_references(spec: StrategySpec, strategy: Strategy) -> None:
    from trading_platform.domain.features.compute import reference_symbols

    absent = sorted(reference_symbols(strategy.features) - set(spec.universe))
    if absent:
        msg = f"{spec.name} reads features that are held against {', '.join(absent)}: add it to the universe"
        raise StrategyError(msg, "universe")


def _check_parameters(name: str, found: Any, given: Mapping[str, float | int | str | bool]) -> None:
    known = {field.name: field for field in fields(found) if field.init}
    for parameter, value in given.items():
        if parameter not in known:
            hint = did_you_mean(parameter, known) or f"; it has {', '.join(known)}"
            msg = f"strategy {name} has no parameter {parameter!r}{hint}"
            raise StrategyError(msg, f"parameters.{parameter}")
        default = known[parameter].default
        if default is not MISSING and not _is_of_kind(value, type(default)):
            kind = _KINDS.get(type(default), type(default).__name__)
            msg = f"parameter {parameter!r} of strategy {name} must be {kind}, not {value!r}"
            raise StrategyError(msg, f"parameters.{parameter}")
    absent = [field.name for field in known.values() if field.default is MISSING and field.name not in given]
    if absent:
        msg = f"strategy {name} needs the parameter(s) {', '.join(absent)}"
        raise StrategyError(msg, "parameters")


def _is_of_kind(value: float | int | str | bool, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind
