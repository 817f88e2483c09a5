"""The registry of features: one function per indicator, looked up by name.

A feature's name is an indicator, its whole-number parameters and, where it has one, its reference symbol:
``sma_20``, ``macd_12_26_9``, ``beta_60_SPY``. Any of them with ``rank_`` or ``cs_zscore_`` before it is compared
across symbols: ``rank_return_63``. Adding an indicator is adding one function with the decorator
:func:`indicator`; the generic tests (warm-up, nothing from the future, a window gives what the whole history
gives) then cover it by themselves. Light to import: no pandas, no numpy, no TA-Lib.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from trading_platform.domain.suggestions import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

CROSS_SECTIONS = {
    "rank_": "rank across symbols, 0 to 1",
    "cs_zscore_": "standard deviations from the mean of all symbols",
}
"""What may stand before a feature's name, and the units it then has."""

EXAMPLE_REFERENCE = "SPY"
_NAME = re.compile(
    r"^(?P<indicator>[a-z]+(?:_[a-z]+)*)(?P<parameters>(?:_\d+)*)(?:_(?P<reference>[A-Z][A-Z0-9.\-]*))?$"
)


class UnknownFeatureError(ValueError):
    """No feature has this name. The message names the nearest one."""


Compute = Callable[..., "Floats"]


@dataclass(frozen=True)
class Indicator:
    """One entry of the registry.

    ``compute(bars, *parameters)`` gets :class:`~trading_platform.domain.features.arrays.BarArrays` and returns one
    value per bar. The value at a bar may depend on ``warm_up(*parameters)`` bars, that bar included, and on no
    other: the arrays hold several symbols one after another, and what stands before a symbol's warm-up is blanked
    afterwards. ``example`` holds usual parameters, ``minimum`` the smallest that each may be.
    ``is_session_anchored``: the value depends on all bars of the session so far, and ``warm_up`` counts what is
    needed when the session's first bar ends. ``has_reference``: ``bars.reference`` holds the closes of another symbol.
    """

    name: str
    compute: Compute
    parameters: tuple[str, ...]
    example: tuple[int, ...]
    minimum: int
    units: str
    warm_up: Callable[..., int]
    is_session_anchored: bool = False
    has_reference: bool = False

    @property
    def example_name(self) -> str:
        """The feature's name with usual parameters, e.g. ``sma_20``."""
        return "_".join([self.name, *map(str, self.example), *([EXAMPLE_REFERENCE] if self.has_reference else [])])

    @property
    def form(self) -> str:
        """The feature's name with its parameters named, e.g. ``sma_<period>``."""
        named = [*self.parameters, *(["SYMBOL"] if self.has_reference else [])]
        return "_".join([self.name, *(f"<{parameter}>" for parameter in named)])

    @property
    def summary(self) -> str:
        """First line of what the function says of itself."""
        return (self.compute.__doc__ or "").strip().splitlines()[0]


@dataclass(frozen=True)
class Feature:
    """An indicator with its parameters, ready to compute.

    ``cross_section`` is ``rank_``, ``cs_zscore_`` or empty. ``reference`` is the symbol it is held against, or None.
    """

    name: str
    indicator: Indicator
    parameters: tuple[int, ...]
    cross_section: str
    reference: str | None

    @property
    def warm_up(self) -> int:
        """Number of bars, the current one included, that a value needs."""
        return self.indicator.warm_up(*self.parameters)

    @property
    def units(self) -> str:
        """Units of the values."""
        return CROSS_SECTIONS.get(self.cross_section, self.indicator.units)


_INDICATORS: dict[str, Indicator] = {}


def indicator(
    name: str,
    example: tuple[int, ...] = (),
    *,
    parameters: tuple[str, ...] = (),
    units: str,
    warm_up: Callable[..., int],
    minimum: int = 1,
    is_session_anchored: bool = False,
    has_reference: bool = False,
) -> Callable[[Compute], Compute]:
    """Register a function as the indicator ``name``. See :class:`Indicator` for the arguments."""

    def register(compute: Compute) -> Compute:
        if name in _INDICATORS:
            msg = f"the indicator {name} is registered twice"
            raise ValueError(msg)
        if len(example) != len(parameters):
            msg = f"the indicator {name} has {len(parameters)} parameter(s) but {len(example)} example value(s)"
            raise ValueError(msg)
        _INDICATORS[name] = Indicator(
            name, compute, parameters, example, minimum, units, warm_up, is_session_anchored, has_reference
        )
        return compute

    return register


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
    cross_section = next((prefix for prefix in CROSS_SECTIONS if name.startswith(prefix)), "")
    bare = name.removeprefix(cross_section)
    match = _NAME.match(bare)
    entry = _INDICATORS.get(match["indicator"]) if match else None
    if match is None or entry is None:
        known = [item.example_name for item in _INDICATORS.values()]
        hint = did_you_mean(bare, known) or f": use one of {', '.join(sorted(known))}, or another period"
        msg = f"there is no feature {name!r}{hint}"
        raise UnknownFeatureError(msg)
    values = tuple(int(part) for part in match["parameters"].split("_") if part)
    if len(values) != len(entry.parameters):
        msg = f"feature {name!r} has {len(values)} number(s) in its name; write {entry.form}, e.g. {entry.example_name}"
        raise UnknownFeatureError(msg)
    if (match["reference"] is not None) != entry.has_reference:
        what = "needs a reference symbol" if entry.has_reference else "takes no reference symbol"
        msg = f"feature {name!r} {what}; write {entry.form}, e.g. {entry.example_name}"
        raise UnknownFeatureError(msg)
    low = [parameter for parameter, value in zip(entry.parameters, values, strict=True) if value < entry.minimum]
    if low:
        msg = f"feature {name!r}: {', '.join(low)} must be at least {entry.minimum}"
        raise UnknownFeatureError(msg)
    return Feature(name, entry, values, cross_section, match["reference"])


def _load() -> None:
    """Import the functions, which register themselves."""
    if not _INDICATORS:
        import trading_platform.domain.features.indicators  # noqa: F401
