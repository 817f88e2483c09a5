"""The kill switch in the launchpad: the jobs ``kill_switch_on`` and ``kill_switch_off``. The work is in ``execution``.

The command `trading-platform kill-switch` does the same without Dagster.
"""

import dagster as dg

from trading_platform.defs.jobs import NEVER_RETRIED
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.resources.platform import PlatformResource
from trading_platform.specs.configured import tradable_instruments


class StopConfig(dg.Config):
    """Why everything is stopped, and whether the strategies' positions are to be given up too."""

    reason: str
    flatten: bool = False


class ResumeConfig(dg.Config):
    """Why trading may go on."""

    reason: str


@dg.op(description="Sets a halt, cancels every open order at the broker and confirms it; flattens positions if asked.")
def stop_everything(
    context: dg.OpExecutionContext,
    config: StopConfig,
    platform: PlatformResource,
    ibkr: IBKRResource,
    ledger: LedgerResource,
) -> None:
    from trading_platform.execution.kill_switch import engage

    report = engage(
        ledger.ledger,
        ibkr.broker,
        account=platform.settings.ibkr_account or ibkr.broker.account,
        reason=config.reason,
        who=_who(context),
        clock=platform.clock,
        flatten=config.flatten,
        instruments=lambda: tradable_instruments(platform.settings),
    )
    for sentence in report.sentences:
        context.log.info(sentence)
    if not report.is_complete:
        raise dg.Failure("; ".join(report.sentences), allow_retries=False)


@dg.op(description="Clears every active halt of the account. Halts of all accounts are cleared by the command only.")
def resume(
    context: dg.OpExecutionContext,
    config: ResumeConfig,
    platform: PlatformResource,
    ibkr: IBKRResource,
    ledger: LedgerResource,
) -> None:
    from trading_platform.execution.kill_switch import release

    account = platform.settings.ibkr_account or ibkr.broker.account
    cleared = release(ledger.ledger, scope=account, reason=config.reason, who=_who(context), at=platform.clock.now())
    context.log.info(f"cleared {len(cleared)} halts of {account}: {'; '.join(halt.reason for halt in cleared)}")
    if left := ledger.ledger.active_halts(account):
        still = "; ".join(f"{halt.scope}: {halt.reason}" for halt in left)
        msg = f"still halted ({still}): `trading-platform kill-switch off --all-accounts` clears these"
        raise dg.Failure(msg, allow_retries=False)


def _who(context: dg.OpExecutionContext) -> str:
    """Dagit knows no names: the run leads to who launched it."""
    return f"Dagit, run {context.run_id}"


@dg.job(
    executor_def=dg.in_process_executor,
    tags=NEVER_RETRIED,
    description="Stop everything: no new orders, every open order cancelled and confirmed, positions flat if asked.",
)
def kill_switch_on() -> None:
    stop_everything()


@dg.job(
    executor_def=dg.in_process_executor,
    tags=NEVER_RETRIED,
    description="Let the account trade again. Say why.",
)
def kill_switch_off() -> None:
    resume()


KILL_SWITCH_JOBS = (kill_switch_on, kill_switch_off)
