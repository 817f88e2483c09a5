"""The command ``trading-platform``: run, dev, doctor, gateway, kept thin. The work is done in ``ops``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from trading_platform.calendar_cache import use_cached_calendars
from trading_platform.settings import ENV_PREFIX, get_settings

EPILOG = f"""
Everything is configured by environment variables that start with {ENV_PREFIX} (see .env.example); whatever is not
configured is started from bundled parts. Orders go to a paper account unless {ENV_PREFIX}MODE=live.
"""


class Moment(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in newer clicks only
    """An instant with a time zone, e.g. 2013-02-28T15:45:00-05:00."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse ISO 8601; refuse what has no time zone."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            self.fail(f"{value!r} is no moment: write it like 2013-02-28T15:45:00-05:00", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no time zone: add one, e.g. {value}-05:00 for New York in winter", param, ctx)
        return moment


as_of_option = click.option(
    "--as-of", type=Moment(), help="Run the whole platform as if it were this moment, e.g. 2013-02-28T15:45:00-05:00."
)
symbols_option = click.option("--symbols", help="Narrow every universe to these symbols, e.g. AAPL,IBM.")


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trading-platform")
def main() -> None:
    """A data platform for systematic trading through Interactive Brokers, on Dagster.

    \b
    trading-platform run     the whole flow once, from market bars to filled paper orders
    trading-platform dev     everything together with the web UI, until Ctrl-C
    trading-platform doctor  check every part and say what to do
    trading-platform replay  the order path over history, as fast as it can
    trading-platform backtest   the same decisions in memory, faster still
    trading-platform kill-switch on   stop everything
    trading-platform quarantine list  bars that were set aside, for you to decide
    trading-platform watch list  symbols that feeds collect because somebody watches them
    """
    use_cached_calendars()


@main.command()
@as_of_option
@symbols_option
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the result there.")
def run(as_of: datetime | None, symbols: str | None, json_file: Path | None) -> None:
    """Materialize the whole flow for the current session and show what came of it.

    Instruments, bars, validated bars, features, signals, order intents, orders, executions, positions,
    performance, MLflow. With the market closed the bundled paper market is set back to a quarter of an hour
    before its last close; a broker of your own is left as it is, and no order is sent. Exit status 0 only if
    everything that should have happened did.
    """
    with _errors_in_words():
        from trading_platform.ops.run_command import run_command

        sys.exit(run_command(as_of=as_of, symbols=symbols, json_file=json_file))


@main.command()
@as_of_option
@click.option("--port", default=3000, show_default=True, help="Port of the web UI; the next free one if taken.")
def dev(as_of: datetime | None, port: int) -> None:
    """Run PostgreSQL, the paper gateway, MLflow, the web UI and the daemon together, until Ctrl-C.

    Schedules and sensors are started. Prints the addresses when everything is up.
    """
    with _errors_in_words():
        from trading_platform.ops.dev_command import dev_command

        sys.exit(dev_command(as_of=as_of, port=port))


def history_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that ``replay`` and ``backtest`` share."""
    day = click.DateTime(formats=["%Y-%m-%d"])
    for option in (
        click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the result."),
        click.option(
            "--data", type=click.Path(path_type=Path, file_okay=False), help="A directory of bars of your own."
        ),
        click.option("--set", "parameters", multiple=True, help="A parameter of the one strategy, e.g. lookback=126."),
        symbols_option,
        click.option("--strategy", "strategies", multiple=True, help="A strategy's name; repeat it.  [default: all]"),
        click.option("--to", "last", type=day, required=True, help="Last session, e.g. 2012-12-31."),
        click.option("--from", "first", type=day, required=True, help="First session, e.g. 2012-01-03."),
    ):
        command = option(command)
    return command


@main.command()
@history_options
def replay(first: datetime, last: datetime, **options: Any) -> None:
    """Step the whole order path through history: ledger, client and a paper gateway at one clock.

    Ticks come when the schedules would start them. Everything is in a world of its own, made anew each time; a
    configured broker or ledger is not touched.
    """
    with _errors_in_words():
        from trading_platform.ops.history_request import HistoryOptions
        from trading_platform.ops.replay_command import replay_command

        sys.exit(replay_command(HistoryOptions(first.date(), last.date(), **options)))


@main.command()
@history_options
def backtest(first: datetime, last: datetime, **options: Any) -> None:
    """Make the same decisions as a replay over the same history, in memory and many times faster."""
    with _errors_in_words():
        from trading_platform.ops.backtest_command import backtest_command
        from trading_platform.ops.history_request import HistoryOptions

        sys.exit(backtest_command(HistoryOptions(first.date(), last.date(), **options)))


@main.command()
def doctor() -> None:
    """Check every part: settings, PostgreSQL, ledger, lake, broker, MLflow, Dagster, code location.

    One line each, with what to do about it. Exit status 1 if any fails.
    """
    with _errors_in_words():
        from trading_platform.ops.doctor import doctor_command

        sys.exit(doctor_command())


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface; the protocol is plain text.")
@click.option("--port", default=4002, show_default=True, help="TWS API port; 0 takes a free one.")
@click.option("--account", help="Paper account id; starts with DU.  [default: DU1000000]")
def gateway(host: str, port: int, account: str | None) -> None:
    """Serve the paper market over the TWS API, for any client that speaks it, until Ctrl-C.

    Replays the real bars that are bundled, and those of the directory TRADING_PLATFORM_PAPER_DATA.
    Orders and positions survive a restart.
    """
    with _errors_in_words():
        from trading_platform.ops.gateway_process import serve
        from trading_platform.ops.local import paper_account

        settings = get_settings()
        serve(settings, host=host, port=port, account=account or paper_account(settings))


@main.group("kill-switch")
def kill_switch() -> None:
    """Stop everything, see whether everything is stopped, or let trading go on. Needs neither daemon nor web UI."""


all_accounts_option = click.option("--all-accounts", is_flag=True, help="The halt of all accounts, not one's own.")


@kill_switch.command("on")
@click.option("--reason", default="stopped by hand", show_default=True, help="Why; kept in the ledger.")
@click.option("--flatten", is_flag=True, help="Also bring the strategies' positions to zero.")
@all_accounts_option
@as_of_option
def kill_switch_on(reason: str, flatten: bool, all_accounts: bool, as_of: datetime | None) -> None:
    """Halt new orders, cancel every open order at the broker, and confirm that none is left.

    Exit status 0 only if all of that was done. It may be repeated as often as you like.
    """
    from trading_platform.ops.kill_switch_command import switch_on

    with _errors_in_words():
        sys.exit(switch_on(as_of=as_of, reason=reason, flatten=flatten, is_for_all=all_accounts))


@kill_switch.command("off")
@click.option("--reason", required=True, help="Why trading may go on; kept in the ledger.")
@all_accounts_option
@as_of_option
def kill_switch_off(reason: str, all_accounts: bool, as_of: datetime | None) -> None:
    """Clear the halts of the account. Exit status 1 if a halt of all accounts is left."""
    from trading_platform.ops.kill_switch_command import switch_off

    with _errors_in_words():
        sys.exit(switch_off(as_of=as_of, reason=reason, is_for_all=all_accounts))


@kill_switch.command("status")
@as_of_option
def kill_switch_status(as_of: datetime | None) -> None:
    """Show whether the account is halted: by whom, since when and why."""
    from trading_platform.ops.kill_switch_command import show_status

    with _errors_in_words():
        sys.exit(show_status(as_of=as_of))


@main.group()
def quarantine() -> None:
    """See the bars that validation set aside or holds, and say which are right. Needs only the lake."""


feed_option = click.option("--feed", help="Only this feed, e.g. daily.")
why_option = click.option("--reason", required=True, help="Why; kept with the decision.")
by_option = click.option("--by", help="Who decides.  [default: user@host]")


@quarantine.command("list")
@feed_option
@click.option("--session", type=click.DateTime(["%Y-%m-%d"]), help="Only this session.  [default: the newest 20]")
@click.option("--all", "is_all", is_flag=True, help="Also what was only warned of or repaired.")
@as_of_option
def quarantine_list(feed: str | None, session: datetime | None, is_all: bool, as_of: datetime | None) -> None:
    """Show each bar's id, reason, numbers, and what was decided about it."""
    from trading_platform.ops.quarantine_command import list_bars

    with _errors_in_words():
        sys.exit(list_bars(as_of=as_of, feed=feed, session=session.date() if session else None, is_all=is_all))


@quarantine.command("release")
@click.argument("bar_id")
@why_option
@by_option
@feed_option
@as_of_option
def quarantine_release(bar_id: str, reason: str, by: str | None, feed: str | None, as_of: datetime | None) -> None:
    """The bar is right: believe it from the next materialization of its session on."""
    from trading_platform.ops.quarantine_command import decide

    with _errors_in_words():
        sys.exit(decide(bar_id, "released", as_of=as_of, feed=feed, why=reason, by=by))


@quarantine.command("confirm")
@click.argument("bar_id")
@why_option
@by_option
@feed_option
@as_of_option
def quarantine_confirm(bar_id: str, reason: str, by: str | None, feed: str | None, as_of: datetime | None) -> None:
    """The bar is wrong: leave it out for good, and trade the symbol again without it."""
    from trading_platform.ops.quarantine_command import decide

    with _errors_in_words():
        sys.exit(decide(bar_id, "confirmed", as_of=as_of, feed=feed, why=reason, by=by))


@main.group()
def watch() -> None:
    """Watch lists: symbols that feeds collect as their dynamic members. Needs only the lake."""


list_option = click.option("--list", "name", default="default", show_default=True, help="Which list.")


@watch.command("list")
@click.option("--list", "name", help="Only this list.")
@as_of_option
def watch_show(name: str | None, as_of: datetime | None) -> None:
    """Show the symbols of each list: who put them there, when and why."""
    from trading_platform.ops.watch_command import show

    with _errors_in_words():
        sys.exit(show(as_of=as_of, name=name))


@watch.command("add")
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL…")
@list_option
@why_option
@by_option
@as_of_option
def watch_add(symbols: tuple[str, ...], name: str, reason: str, by: str | None, as_of: datetime | None) -> None:
    """Put symbols on a list."""
    from trading_platform.ops.watch_command import change

    with _errors_in_words():
        sys.exit(change(symbols, "added", as_of=as_of, name=name, why=reason, by=by))


@watch.command("remove")
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL…")
@list_option
@why_option
@by_option
@as_of_option
def watch_remove(symbols: tuple[str, ...], name: str, reason: str, by: str | None, as_of: datetime | None) -> None:
    """Take symbols off a list. Who is a member of a session already stays one until its end."""
    from trading_platform.ops.watch_command import change

    with _errors_in_words():
        sys.exit(change(symbols, "removed", as_of=as_of, name=name, why=reason, by=by))


@main.command()
def migrate() -> None:
    """Bring the ledger, Dagster's instance and MLflow's database to the schema of this version.

    For servers whose PostgreSQL is configured, before anything else starts; run and dev do it for their own.
    """
    from trading_platform.ops.migrate import migrate as migrate_databases

    with _errors_in_words():
        migrate_databases(get_settings(), click.echo)


@main.command("make-bucket")
def make_bucket() -> None:
    """Make the lake's bucket in an S3-compatible store if it is missing, and prove that it can be written."""
    from trading_platform.ops.bucket import make_bucket as make

    with _errors_in_words():
        click.echo(make(get_settings()))


@main.group()
def lake() -> None:
    """What the lake keeps of its files, and putting an older version back."""


table_argument = click.argument("table", metavar="STAGE/TABLE")
session_option = click.option("--session", help="Session, e.g. 2013-02-28; leave it out for a table without sessions.")


@lake.command("versions")
@table_argument
@session_option
def lake_versions(table: str, session: str | None) -> None:
    """List the versions of a file that are kept, the newest first; materializations name them `lake_version`."""
    from trading_platform.ops.lake_command import list_versions

    with _errors_in_words():
        click.echo(list_versions(get_settings(), table, session))


@lake.command("restore")
@table_argument
@click.argument("version")
@session_option
def lake_restore(table: str, version: str, session: str | None) -> None:
    """Make VERSION (its first letters will do) the current content of a file again. What it replaces is kept."""
    from trading_platform.ops.lake_command import restore_version

    with _errors_in_words():
        click.echo(restore_version(get_settings(), table, session, version))


@main.command()
@click.argument("service", type=click.Choice(["webserver", "mlflow"]))
@click.option("--url", required=True, help="Where it listens, e.g. http://127.0.0.1:3000.")
def health(service: str, url: str) -> None:
    """Ask one running service for real work; exit status 1 if it fails. For the health checks of containers."""
    from trading_platform.ops.health import mlflow_health, webserver_health

    with _errors_in_words():
        click.echo(webserver_health(url) if service == "webserver" else mlflow_health(url))


@contextmanager
def _errors_in_words() -> Iterator[None]:
    """Show the platform's own errors as one sentence; let bugs keep their traceback."""
    from trading_platform.ops.errors import explain
    from trading_platform.ops.interrupts import INTERRUPTED, as_keyboard_interrupts

    try:
        with as_keyboard_interrupts():
            yield
    except KeyboardInterrupt:
        click.echo("interrupted; run it again, nothing is done twice", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        click.echo(f"error: {message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
