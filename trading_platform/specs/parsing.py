"""How a file of specs becomes a model: every mistake is named with file, key and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from trading_platform.domain.calendars import OUR_OWN
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.specs.yaml_file import read_mapping

SHIPPED = Path(__file__).parent
UNION_MEMBERS = {"float", "int", "str", "bool"}
USUAL_CALENDARS = (*OUR_OWN, "XNYS", "XLON")
"""There for certain, and without a break at noon: making one to find out takes a third of a second."""

Model = TypeVar("Model", bound=BaseModel)


class SpecError(ValueError):
    """A file of specs is wrong. ``path`` and ``key`` say where; ``key`` is dotted and may be empty."""

    def __init__(self, path: Path, key: str, problem: str) -> None:
        super().__init__(f"{path}: {key}: {problem}" if key else f"{path}: {problem}")
        self.path = path
        self.key = key


def file_of(path: Path | None, name: str) -> Path:
    """The file called ``name`` in a directory, or the shipped one where it has none; a file stands for itself."""
    if path is None:
        return SHIPPED / name
    if path.is_dir():
        beside = path / name
        return beside if beside.exists() else SHIPPED / name
    return path


def parse(model: type[Model], file: Path) -> Model:
    """Read ``file`` as a ``model``.

    Raises:
        SpecError: it can't be read or says something wrong.
    """
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


def check_symbols(
    symbols: Sequence[str], instruments: Mapping[str, Instrument], file: Path, key: str, *, calendar: str | None
) -> None:
    """Refuse a symbol that is no instrument, or one on another calendar than ``calendar``, where one is given."""
    for symbol in symbols:
        if symbol not in instruments:
            hint = did_you_mean(symbol, instruments) or f"; known: {', '.join(sorted(instruments))}"
            raise SpecError(file, key, f"there is no instrument {symbol!r} in the universe file{hint}")
        if calendar is not None and instruments[symbol].calendar != calendar:
            other = instruments[symbol].calendar
            raise SpecError(file, "calendar", f"{symbol} trades on {other}, but the strategy says {calendar}")


def check_calendar(name: str, file: Path, key: str) -> None:
    """Refuse a calendar that there is not."""
    if name in USUAL_CALENDARS:
        return
    import exchange_calendars  # slow, so only for what is unusual or wrong

    known = [*OUR_OWN, *exchange_calendars.get_calendar_names(include_aliases=False)]
    if name not in known:
        hint = did_you_mean(name, known) or f"; use an exchange_calendars code such as XNYS, or {' or '.join(OUR_OWN)}"
        raise SpecError(file, key, f"unknown calendar {name!r}{hint}")
