"""``trading-platform kill-switch``: stop everything, without Dagster's daemon or web UI.

It needs PostgreSQL and the broker, and does with one what it can when the other is down. On a laptop it joins the
bundled ones, which a running `dev` shares, or starts them for the moment.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import click

from trading_platform.ops import local
from trading_platform.ops.errors import explain
from trading_platform.ops.interrupts import cleaned_up
from trading_platform.settings import Settings, get_settings
from trading_platform.specs.configured import tradable_instruments

if TYPE_CHECKING:
    from trading_platform.brokers.ibkr.client import IBKRBroker
    from trading_platform.storage.ledger import Halt, Ledger

LONGEST_ANSWER_SECONDS = 5.0
"""A gateway that hangs must not keep anybody from being told so."""

EVERY_ACCOUNT = "*"


def switch_on(*, as_of: datetime | None, reason: str, flatten: bool, is_for_all: bool) -> int:
    """Engage; show the report; return 0 only if all of it was done."""
    from trading_platform.execution.kill_switch import engage

    with _parts(as_of) as (found, stack):
        troubles: list[str] = []
        ledger, broker = _ledger(found, stack, troubles), _broker(found, stack, troubles)
        settings = get_settings()
        account = settings.ibkr_account or (broker.account if broker is not None else local.paper_account(settings))
        report = engage(
            ledger,
            broker,
            account=account,
            scope=EVERY_ACCOUNT if is_for_all else account,
            reason=reason,
            who=who(),
            clock=settings.clock,
            flatten=flatten,
            instruments=lambda: tradable_instruments(settings),
        )
    click.echo("\n".join([f"{settings.mode} account {account}", *report.sentences, *troubles]))
    click.echo("the kill switch is ON" if report.is_complete else "the kill switch is NOT completely on", err=True)
    return 0 if report.is_complete else 1


def switch_off(*, as_of: datetime | None, reason: str, is_for_all: bool) -> int:
    """Clear the halts of the account, or those of all accounts; return 1 if the account is halted all the same."""
    from trading_platform.execution.kill_switch import release

    with _parts(as_of) as (settings, stack):
        ledger = _required_ledger(settings, stack)
        account = _account(settings)
        scope = EVERY_ACCOUNT if is_for_all else account
        cleared = release(ledger, scope=scope, reason=reason, who=who(), at=settings.clock.now())
        left = ledger.active_halts(account)
    click.echo(f"cleared {len(cleared)} halts of {scope}")
    click.echo("\n".join(_lines(left)) if left else f"account {account} may trade")
    return 1 if left else 0


def show_status(*, as_of: datetime | None) -> int:
    """Show who halted what, when and why."""
    with _parts(as_of) as (settings, stack):
        ledger = _required_ledger(settings, stack)
        account = _account(settings)
        halts = ledger.active_halts(account)
    click.echo(f"{settings.mode} account {account}: the kill switch is {'ON' if halts else 'off'}")
    for line in _lines(halts):
        click.echo(line)
    return 0


def who() -> str:
    """Who turns the switch, by the operating system: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


@contextmanager
def _parts(as_of: datetime | None) -> Iterator[tuple[Settings, ExitStack]]:
    with local.environment_restored(), cleaned_up() as stack:
        if as_of is not None:
            local.move_clock(as_of)
        yield get_settings(), stack


def _ledger(settings: Settings, stack: ExitStack, troubles: list[str]) -> Ledger | None:
    try:
        return _required_ledger(settings, stack)
    except Exception as error:  # noqa: BLE001 - whatever it is, the broker's orders must be cancelled
        troubles.append(explain(error) or repr(error))
        return None


def _required_ledger(settings: Settings, stack: ExitStack) -> Ledger:
    """The ledger, at this version's schema."""
    from trading_platform.storage.ledger import Ledger

    if settings.ledger_database_url is None:
        local.make_home(settings)
        settings = local.start_databases(settings, stack)
    assert settings.ledger_database_url is not None
    ledger = Ledger(settings.ledger_database_url.get_secret_value())
    stack.callback(ledger.close)
    ledger.migrate()
    return ledger


def _broker(settings: Settings, stack: ExitStack, troubles: list[str]) -> IBKRBroker | None:
    """The broker, connected, with less patience than a run has."""
    from trading_platform.definitions import build_resources

    try:
        gateway = local.start_gateway(settings, stack)
        if gateway is not None:
            settings = local.settle_gateway(gateway, settings)
        resource = build_resources(settings)["ibkr"]
        patience = min(settings.ibkr_request_timeout_seconds, LONGEST_ANSWER_SECONDS)
        impatient = resource.model_copy(update={"request_timeout_seconds": patience, "read_attempts": 2})
        broker: IBKRBroker = stack.enter_context(impatient.connect())
    except Exception as error:  # noqa: BLE001 - whatever it is, the halt must be set
        troubles.append(explain(error) or repr(error))
        return None
    return broker


def _account(settings: Settings) -> str:
    """The account that the settings name, or the bundled gateway's."""
    if settings.ibkr_account is None and settings.ibkr_port is not None:
        msg = "name the account in TRADING_PLATFORM_IBKR_ACCOUNT: halts are kept by account"
        raise local.LocalPlatformError(msg)
    return settings.ibkr_account or local.paper_account(settings)


def _lines(halts: list[Halt]) -> list[str]:
    return [
        f"halted {halt.scope} since {halt.set_at:%Y-%m-%d %H:%M:%S} UTC by {halt.who}: {halt.reason}" for halt in halts
    ]
