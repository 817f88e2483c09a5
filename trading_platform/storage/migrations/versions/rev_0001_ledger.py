"""The ledger: ticks, intents, decisions, events, fills, snapshots, halts, leases.

Plain DDL, because most of it is what only PostgreSQL can say: checks that also catch NaN, triggers that keep
history append-only, and the legal status transitions as a table that a trigger consults.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATUSES = (
    "'created', 'approved', 'rejected', 'submitting', 'submitted', 'partially_filled', 'filled', "
    "'cancelled', 'expired', 'broker_rejected', 'unknown'"
)

LEGAL_TRANSITIONS = {
    "created": ("approved", "rejected"),
    "approved": ("submitting", "rejected", "cancelled", "expired"),
    "submitting": (
        "submitted",
        "partially_filled",
        "filled",
        "cancelled",
        "expired",
        "broker_rejected",
        "unknown",
    ),
    "submitted": ("partially_filled", "filled", "cancelled", "expired", "broker_rejected", "unknown"),
    "partially_filled": ("filled", "cancelled", "expired", "unknown"),
    "unknown": ("submitted", "partially_filled", "filled", "cancelled", "expired", "broker_rejected"),
    "cancelled": ("partially_filled", "filled"),
    "expired": ("partially_filled", "filled"),
    "broker_rejected": ("partially_filled", "filled"),
}

ORDERS = f"""
CREATE TABLE order_status_transitions (
    from_status text NOT NULL CHECK (from_status IN ({STATUSES})),
    to_status text NOT NULL CHECK (to_status IN ({STATUSES})),
    PRIMARY KEY (from_status, to_status)
);

CREATE TABLE strategy_ticks (
    account text NOT NULL CHECK (account <> ''),
    strategy text NOT NULL CHECK (strategy <> ''),
    tick_utc timestamptz NOT NULL,
    session text NOT NULL CHECK (session ~ '^\\d{{4}}-\\d{{2}}-\\d{{2}}$'),
    decided_at timestamptz NOT NULL,
    dagster_run_id text NOT NULL,
    code_version text NOT NULL,
    world text NOT NULL,
    PRIMARY KEY (account, strategy, tick_utc)
);

CREATE TABLE order_intents (
    account text NOT NULL,
    client_order_id text NOT NULL CHECK (client_order_id <> ''),
    strategy text NOT NULL,
    symbol text NOT NULL CHECK (symbol <> ''),
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity numeric NOT NULL CHECK (quantity > 0 AND quantity < 'Infinity'),
    order_type text NOT NULL CHECK (order_type IN ('MKT', 'LMT', 'STP', 'STP LMT')),
    time_in_force text NOT NULL CHECK (time_in_force IN ('DAY', 'GTC', 'IOC')),
    limit_price numeric CHECK (limit_price < 'Infinity'),
    stop_price numeric CHECK (stop_price < 'Infinity'),
    decision_price numeric NOT NULL CHECK (decision_price > 0 AND decision_price < 'Infinity'),
    target_weight double precision NOT NULL,
    confidence double precision NOT NULL CHECK (confidence >= 0 AND confidence <= 1),
    reason text NOT NULL,
    session text NOT NULL,
    tick_utc timestamptz NOT NULL,
    as_of_utc timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ({STATUSES})),
    perm_id bigint CHECK (perm_id <> 0),
    filled_quantity numeric NOT NULL CHECK (filled_quantity >= 0 AND filled_quantity < 'Infinity'),
    average_fill_price numeric,
    dagster_run_id text NOT NULL,
    code_version text,
    signal_version text,
    model_version text,
    submission_token bigint,
    submission_holder text,
    submitting_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (account, client_order_id),
    CONSTRAINT order_intents_tick_fkey FOREIGN KEY (account, strategy, tick_utc)
        REFERENCES strategy_ticks (account, strategy, tick_utc),
    CONSTRAINT order_intents_limit_price CHECK ((limit_price IS NOT NULL) = (order_type IN ('LMT', 'STP LMT'))),
    CONSTRAINT order_intents_stop_price CHECK ((stop_price IS NOT NULL) = (order_type IN ('STP', 'STP LMT')))
);
CREATE INDEX order_intents_tick ON order_intents (account, strategy, tick_utc);
CREATE INDEX order_intents_session ON order_intents (account, session);
CREATE INDEX order_intents_alive ON order_intents (account)
    WHERE status IN ('created', 'approved', 'submitting', 'submitted', 'partially_filled', 'unknown');

CREATE TABLE risk_decisions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    client_order_id text NOT NULL,
    stage text NOT NULL CHECK (stage IN ('decision', 'submission')),
    is_approved boolean NOT NULL,
    results jsonb NOT NULL,
    decided_at timestamptz NOT NULL,
    dagster_run_id text NOT NULL,
    CONSTRAINT risk_decisions_order_fkey FOREIGN KEY (account, client_order_id)
        REFERENCES order_intents (account, client_order_id)
);
CREATE INDEX risk_decisions_order ON risk_decisions (account, client_order_id);

CREATE TABLE order_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    client_order_id text NOT NULL,
    from_status text CHECK (from_status IN ({STATUSES})),
    to_status text NOT NULL CHECK (to_status IN ({STATUSES})),
    raw_status text NOT NULL,
    perm_id bigint,
    filled_quantity numeric NOT NULL,
    message text NOT NULL,
    ts_utc timestamptz NOT NULL,
    dagster_run_id text NOT NULL,
    CONSTRAINT order_events_order_fkey FOREIGN KEY (account, client_order_id)
        REFERENCES order_intents (account, client_order_id)
);
CREATE INDEX order_events_order ON order_events (account, client_order_id);
"""

ACCOUNTING = """
CREATE TABLE fills (
    account text NOT NULL CHECK (account <> ''),
    execution_id text NOT NULL CHECK (execution_id <> ''),
    series text NOT NULL,
    revision integer NOT NULL,
    client_order_id text CHECK (client_order_id <> ''),
    strategy text,
    perm_id bigint,
    symbol text NOT NULL CHECK (symbol <> ''),
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity numeric NOT NULL CHECK (quantity >= 0 AND quantity < 'Infinity'),
    price numeric NOT NULL CHECK (price < 'Infinity'),
    commission numeric CHECK (commission < 'Infinity'),
    realized_pnl numeric CHECK (realized_pnl < 'Infinity'),
    ts_utc timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    dagster_run_id text NOT NULL,
    PRIMARY KEY (account, execution_id)
);
COMMENT ON COLUMN fills.series IS 'execution_id without its correction suffix: .02 supersedes .01';
CREATE INDEX fills_order ON fills (account, client_order_id);
CREATE INDEX fills_time ON fills (account, ts_utc);

CREATE VIEW effective_fills AS
    SELECT DISTINCT ON (account, series) * FROM fills ORDER BY account, series, revision DESC;
COMMENT ON VIEW effective_fills IS 'of every execution the newest correction';

CREATE TABLE position_snapshots (
    account text NOT NULL,
    ts_utc timestamptz NOT NULL,
    symbol text NOT NULL,
    quantity numeric NOT NULL CHECK (quantity > '-Infinity' AND quantity < 'Infinity'),
    average_price numeric NOT NULL,
    dagster_run_id text NOT NULL,
    PRIMARY KEY (account, ts_utc, symbol)
);

CREATE TABLE equity_snapshots (
    account text NOT NULL,
    ts_utc timestamptz NOT NULL,
    currency text NOT NULL,
    net_liquidation numeric NOT NULL CHECK (net_liquidation < 'Infinity'),
    total_cash numeric NOT NULL CHECK (total_cash < 'Infinity'),
    gross_position_value numeric NOT NULL CHECK (gross_position_value < 'Infinity'),
    dagster_run_id text NOT NULL,
    PRIMARY KEY (account, ts_utc)
);
"""

CONTROL = """
CREATE TABLE halts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope text NOT NULL CHECK (scope <> ''),
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    who text NOT NULL CHECK (btrim(who) <> ''),
    set_at timestamptz NOT NULL,
    cleared_at timestamptz,
    cleared_by text,
    clear_reason text,
    CONSTRAINT halts_cleared CHECK (
        (cleared_at IS NULL AND cleared_by IS NULL AND clear_reason IS NULL)
        OR (cleared_at IS NOT NULL AND btrim(cleared_by) <> '' AND btrim(clear_reason) <> ''
            AND cleared_by IS NOT NULL AND clear_reason IS NOT NULL)
    )
);
COMMENT ON COLUMN halts.scope IS 'an account, or * for all';
CREATE INDEX halts_active ON halts (scope) WHERE cleared_at IS NULL;

CREATE TABLE submission_leases (
    account text NOT NULL PRIMARY KEY,
    holder text NOT NULL,
    fencing_token bigint NOT NULL CHECK (fencing_token > 0),
    acquired_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    released_at timestamptz
);
"""

TRIGGERS = """
CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '% is append-only: % is forbidden', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $body$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON strategy_ticks
    FOR EACH ROW EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON risk_decisions
    FOR EACH ROW EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON order_events
    FOR EACH ROW EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_deleted BEFORE DELETE ON order_intents
    FOR EACH ROW EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_deleted BEFORE DELETE ON fills
    FOR EACH ROW EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_deleted BEFORE DELETE ON halts
    FOR EACH ROW EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_deleted BEFORE DELETE ON submission_leases
    FOR EACH ROW EXECUTE FUNCTION ledger_append_only();

CREATE TRIGGER never_emptied BEFORE TRUNCATE ON strategy_ticks EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON order_intents EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON risk_decisions EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON order_events EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON fills EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON halts EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON submission_leases EXECUTE FUNCTION ledger_append_only();

CREATE FUNCTION ledger_check_order() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'created' THEN
            RAISE EXCEPTION 'order % must begin as created, not as %', NEW.client_order_id, NEW.status
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF ROW(NEW.account, NEW.client_order_id, NEW.strategy, NEW.symbol, NEW.side, NEW.quantity, NEW.order_type,
           NEW.time_in_force, NEW.limit_price, NEW.stop_price, NEW.decision_price, NEW.target_weight,
           NEW.confidence, NEW.reason, NEW.session, NEW.tick_utc, NEW.as_of_utc, NEW.dagster_run_id,
           NEW.created_at)
       IS DISTINCT FROM
       ROW(OLD.account, OLD.client_order_id, OLD.strategy, OLD.symbol, OLD.side, OLD.quantity, OLD.order_type,
           OLD.time_in_force, OLD.limit_price, OLD.stop_price, OLD.decision_price, OLD.target_weight,
           OLD.confidence, OLD.reason, OLD.session, OLD.tick_utc, OLD.as_of_utc, OLD.dagster_run_id,
           OLD.created_at) THEN
        RAISE EXCEPTION 'order % is decided: only its status and what was filled may change', OLD.client_order_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT FROM order_status_transitions WHERE from_status = OLD.status AND to_status = NEW.status
    ) THEN
        RAISE EXCEPTION 'order %: % can not become %', OLD.client_order_id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER check_order BEFORE INSERT OR UPDATE ON order_intents
    FOR EACH ROW EXECUTE FUNCTION ledger_check_order();

CREATE FUNCTION ledger_check_fill() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF (to_jsonb(NEW) - 'commission' - 'realized_pnl') <> (to_jsonb(OLD) - 'commission' - 'realized_pnl')
       OR (OLD.commission IS NOT NULL AND NEW.commission IS DISTINCT FROM OLD.commission)
       OR (OLD.realized_pnl IS NOT NULL AND NEW.realized_pnl IS DISTINCT FROM OLD.realized_pnl) THEN
        RAISE EXCEPTION 'fill % happened: only a missing commission or profit may be added', OLD.execution_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER check_fill BEFORE UPDATE ON fills FOR EACH ROW EXECUTE FUNCTION ledger_check_fill();

CREATE FUNCTION ledger_check_lease() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.fencing_token < OLD.fencing_token
       OR (NEW.holder <> OLD.holder AND NEW.fencing_token = OLD.fencing_token) THEN
        RAISE EXCEPTION 'a new holder of the lease of % needs a higher fencing token than %',
            OLD.account, OLD.fencing_token USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER check_lease BEFORE UPDATE ON submission_leases
    FOR EACH ROW EXECUTE FUNCTION ledger_check_lease();
"""


def upgrade() -> None:
    op.execute(ORDERS)
    pairs = [(before, after) for before, afters in LEGAL_TRANSITIONS.items() for after in afters]
    rows = ", ".join(f"('{before}', '{after}')" for before, after in pairs)
    op.execute(f"INSERT INTO order_status_transitions (from_status, to_status) VALUES {rows}")
    op.execute(ACCOUNTING)
    op.execute(CONTROL)
    op.execute(TRIGGERS)


def downgrade() -> None:
    op.execute("DROP VIEW effective_fills")
    for table in (
        "submission_leases",
        "halts",
        "equity_snapshots",
        "position_snapshots",
        "fills",
        "order_events",
        "risk_decisions",
        "order_intents",
        "strategy_ticks",
        "order_status_transitions",
    ):
        op.execute(f"DROP TABLE {table}")
    for function in ("ledger_append_only", "ledger_check_order", "ledger_check_fill", "ledger_check_lease"):
        op.execute(f"DROP FUNCTION {function}()")
