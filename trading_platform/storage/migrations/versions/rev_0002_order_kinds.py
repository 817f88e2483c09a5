"""Every kind of order: trailing stops, orders for the close, good-till-date, brackets, and what replaces what.

``order_replacements`` is append-only: which working order a tick wanted gone, and which new one (if any) waits for
that. Going back is refused by the old checks while the ledger holds orders that the old schema can't describe.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE order_intents
    ADD COLUMN trail_amount numeric CHECK (trail_amount > 0 AND trail_amount < 'Infinity'),
    ADD COLUMN trail_percent numeric CHECK (trail_percent > 0 AND trail_percent < 100),
    ADD COLUMN good_till_utc timestamptz,
    ADD COLUMN parent_id text CHECK (parent_id <> ''),
    ADD COLUMN oca_group text CHECK (oca_group <> ''),
    ADD COLUMN position_quantity numeric CHECK (position_quantity > '-Infinity' AND position_quantity < 'Infinity'),
    ADD CONSTRAINT order_intents_parent_fkey FOREIGN KEY (account, parent_id)
        REFERENCES order_intents (account, client_order_id),
    DROP CONSTRAINT order_intents_order_type_check,
    DROP CONSTRAINT order_intents_time_in_force_check,
    DROP CONSTRAINT order_intents_limit_price,
    DROP CONSTRAINT order_intents_stop_price,
    ADD CONSTRAINT order_intents_order_type_check
        CHECK (order_type IN ('MKT', 'LMT', 'STP', 'STP LMT', 'TRAIL', 'MOC', 'LOC')),
    ADD CONSTRAINT order_intents_time_in_force_check CHECK (time_in_force IN ('DAY', 'GTC', 'IOC', 'GTD')),
    ADD CONSTRAINT order_intents_limit_price
        CHECK ((limit_price IS NOT NULL) = (order_type IN ('LMT', 'STP LMT', 'LOC'))),
    ADD CONSTRAINT order_intents_stop_price
        CHECK ((stop_price IS NOT NULL) = (order_type IN ('STP', 'STP LMT', 'TRAIL'))),
    ADD CONSTRAINT order_intents_trailing CHECK (
        (order_type = 'TRAIL') = (num_nonnulls(trail_amount, trail_percent) = 1)
        AND num_nonnulls(trail_amount, trail_percent) <= 1
    ),
    ADD CONSTRAINT order_intents_good_till CHECK ((good_till_utc IS NOT NULL) = (time_in_force = 'GTD')),
    ADD CONSTRAINT order_intents_close CHECK (order_type NOT IN ('MOC', 'LOC') OR time_in_force = 'DAY');
"""

REPLACEMENTS = """
CREATE TABLE order_replacements (
    account text NOT NULL,
    strategy text NOT NULL,
    tick_utc timestamptz NOT NULL,
    client_order_id text NOT NULL,
    replaced_by text CHECK (replaced_by <> client_order_id),
    PRIMARY KEY (account, strategy, tick_utc, client_order_id),
    CONSTRAINT order_replacements_tick_fkey FOREIGN KEY (account, strategy, tick_utc)
        REFERENCES strategy_ticks (account, strategy, tick_utc),
    CONSTRAINT order_replacements_old_fkey FOREIGN KEY (account, client_order_id)
        REFERENCES order_intents (account, client_order_id),
    CONSTRAINT order_replacements_new_fkey FOREIGN KEY (account, replaced_by)
        REFERENCES order_intents (account, client_order_id)
);
COMMENT ON COLUMN order_replacements.replaced_by IS 'the order that waits until this one is over; null: called off';
CREATE INDEX order_replacements_new ON order_replacements (account, replaced_by);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON order_replacements
    FOR EACH ROW EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON order_replacements EXECUTE FUNCTION ledger_append_only();
"""

KINDS_ARE_DECIDED = """
CREATE FUNCTION ledger_check_kind() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF ROW(NEW.trail_amount, NEW.trail_percent, NEW.good_till_utc, NEW.parent_id, NEW.oca_group, NEW.position_quantity)
       IS DISTINCT FROM
       ROW(OLD.trail_amount, OLD.trail_percent, OLD.good_till_utc, OLD.parent_id, OLD.oca_group, OLD.position_quantity)
    THEN
        RAISE EXCEPTION 'order % is decided: only its status and what was filled may change', OLD.client_order_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER check_kind BEFORE UPDATE ON order_intents FOR EACH ROW EXECUTE FUNCTION ledger_check_kind();
"""

OLD_COLUMNS = """
ALTER TABLE order_intents
    DROP CONSTRAINT order_intents_close,
    DROP CONSTRAINT order_intents_good_till,
    DROP CONSTRAINT order_intents_trailing,
    DROP CONSTRAINT order_intents_stop_price,
    DROP CONSTRAINT order_intents_limit_price,
    DROP CONSTRAINT order_intents_time_in_force_check,
    DROP CONSTRAINT order_intents_order_type_check,
    ADD CONSTRAINT order_intents_order_type_check CHECK (order_type IN ('MKT', 'LMT', 'STP', 'STP LMT')),
    ADD CONSTRAINT order_intents_time_in_force_check CHECK (time_in_force IN ('DAY', 'GTC', 'IOC')),
    ADD CONSTRAINT order_intents_limit_price CHECK ((limit_price IS NOT NULL) = (order_type IN ('LMT', 'STP LMT'))),
    ADD CONSTRAINT order_intents_stop_price CHECK ((stop_price IS NOT NULL) = (order_type IN ('STP', 'STP LMT'))),
    DROP CONSTRAINT order_intents_parent_fkey,
    DROP COLUMN position_quantity,
    DROP COLUMN oca_group,
    DROP COLUMN parent_id,
    DROP COLUMN good_till_utc,
    DROP COLUMN trail_percent,
    DROP COLUMN trail_amount;
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(REPLACEMENTS)
    op.execute(KINDS_ARE_DECIDED)


def downgrade() -> None:
    op.execute("DROP TRIGGER check_kind ON order_intents")
    op.execute("DROP FUNCTION ledger_check_kind()")
    op.execute("DROP TABLE order_replacements")
    op.execute(OLD_COLUMNS)
