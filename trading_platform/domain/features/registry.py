"""The registry of features: one function per indicator, looked up by name.

A feature's name is an indicator and its whole-number parameters: ``sma_20``, ``macd_12_26_9``. Any of them
with ``rank_`` before it is its rank across symbols: ``rank_return_63``. Adding an indicator is adding one
function with the decorator :func:`indicator`; the generic tests (warm-up, nothing from the future) then cover
it by themselves. Light to import: no pandas, no TA-Lib.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log
from typing import TYPE_CHECKING

from trading_platform.domain.suggestions import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

RANK = "rank_"
SEED_WEIGHT = 1e-3
_NAME = re.compile(r"^(?P<indicator>[a-z]+(?:_[a-z]+)*)(?P<parameters>(?:_\d+)*)$")


class UnknownFeatureError(ValueError):
    """No feature has this name. The message names the nearest one."""


@dataclass(frozen=True)
class SymbolBars:
    """The bars of one symbol, oldest first, as contiguous float64 arrays of equal length.

    Prices in the instrument's currency, volume in shares or coins. ``session_start`` holds for each bar the
    position of the first bar of its session.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    session_start: npt.NDArray[np.int64]


Compute = Callable[..., "Floats"]


@dataclass(frozen=True)
class Indicator:
    """One entry of the registry.

    ``compute(bars, *parameters)`` returns one value per bar and may use bars up to and including that bar
    only. ``warm_up(*parameters)`` is the number of bars, the current one included, that a value needs.
    ``example`` holds usual parameters. ``is_recursive``: every earlier bar has some weight in the value, and
    the warm-up is where older bars weigh less than ``SEED_WEIGHT``.
    """

    name: str
    compute: Compute
    parameters: tuple[str, ...]
    example: tuple[int, ...]
    minimum: int
    units: str
    warm_up: Callable[..., int]
    is_recursive: bool

    @property
    def example_name(self) -> str:
        """The feature's name with usual parameters, e.g. ``sma_20``."""
        return "_".join([self.name, *map(str, self.example)])

    @property
    def summary(self) -> str:
        """First line of what the function says of itself."""
        return (self.compute.__doc__ or "").strip().splitlines()[0]


@dataclass(frozen=True)
class Feature:
    """An indicator with its parameters, ready to compute. ``is_ranked``: ranked across symbols."""

    name: str
    indicator: Indicator
    parameters: tuple[int, ...]
    is_ranked: bool

    @property
    def warm_up(self) -> int:
        """Number of bars, the current one included, that a value needs."""
        return self.indicator.warm_up(*self.parameters)

    @property
    def units(self) -> str:
        """Units of the values."""
        return "rank across symbols, 0 to 1" if self.is_ranked else self.indicator.units


_INDICATORS: dict[str, Indicator] = {}


def indicator(
    name: str,
    example: tuple[int, ...] = (),
    *,
    parameters: tuple[str, ...] = (),
    units: str,
    warm_up: Callable[..., int],
    minimum: int = 1,
    is_recursive: bool = False,
) -> Callable[[Compute], Compute]:
    """Register a function as the indicator ``name``. See :class:`Indicator` for the arguments."""

    def register(compute: Compute) -> Compute:
        if name in _INDICATORS:
            msg = f"the indicator {name} is registered twice"
            raise ValueError(msg)
        if len(example) != len(parameters):
            msg = f"the indicator {name} has {len(parameters)} parameter(s) but {len(example)} example value(s)"
            raise ValueError(msg)
        _INDICATORS[name] = Indicator(name, compute, parameters, example, minimum, units, warm_up, is_recursive)
        return compute

    return register


def decay_bars(alpha: float) -> int:
    """Number of updates x ← x + alpha (new − x) after which the seed weighs less than ``SEED_WEIGHT``."""
    return ceil(log(SEED_WEIGHT) / log(1 - alpha))


def indicators() -> dict[str, Indicator]:
    """All indicators by name."""
    _load()
    return dict(_INDICATORS)


@lru_cache(maxsize=1024)
def parse(name: str) -> Feature:
    """The feature called ``name``.

    Raises:
        UnknownFeatureError: no such indicator, or not its parameters.
    """
    _load()
    bare = name.removeprefix(RANK)
    match = _NAME.match(bare)
    entry = _INDICATORS.get(match["indicator"]) if match else None
    if match is None or entry is None:
        known = [item.example_name for item in _INDICATORS.values()]
        hint = did_you_mean(bare, known) or f": use one of {', '.join(sorted(known))}, or another period"
        msg = f"there is no feature {name!r}{hint}"
        raise UnknownFeatureError(msg)
    values = tuple(int(part) for part in match["parameters"].split("_") if part)
    if len(values) != len(entry.parameters):
        form = "_".join([entry.name, *(f"<{parameter}>" for parameter in entry.parameters)])
        msg = f"feature {name!r} has {len(values)} number(s) in its name; write {form}, e.g. {entry.example_name}"
        raise UnknownFeatureError(msg)
    low = [parameter for parameter, value in zip(entry.parameters, values, strict=True) if value < entry.minimum]
    if low:
        msg = f"feature {name!r}: {', '.join(low)} must be at least {entry.minimum}"
        raise UnknownFeatureError(msg)
    return Feature(name, entry, values, is_ranked=name.startswith(RANK))


def _load() -> None:
    """Import the functions, which register themselves."""
    if not _INDICATORS:
        import trading_platform.domain.features.indicators  # noqa: F401
