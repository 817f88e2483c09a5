"""Questions that a long history must not slow down: which orders may still add to a position, and what an order filled.

``order_intents.arrived_quantity`` is the sum of an order's known fills, kept up in the transaction that stores a fill.
What is still to come of finished orders is found by an index, where before every order was held against all fills.
``effective_fills`` says the same as it did, in words that let one order's fills be found without the others'.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

VIEW = """
CREATE INDEX fills_series ON fills (account, series, revision);
CREATE OR REPLACE VIEW effective_fills AS
    SELECT * FROM fills WHERE NOT EXISTS (
        SELECT FROM fills AS newer
        WHERE newer.account = fills.account AND newer.series = fills.series
          AND (newer.revision, newer.execution_id) > (fills.revision, fills.execution_id)
    );
"""

ARRIVED = """
ALTER TABLE order_intents ADD COLUMN arrived_quantity numeric NOT NULL DEFAULT 0
    CHECK (arrived_quantity >= 0 AND arrived_quantity < 'Infinity');
COMMENT ON COLUMN order_intents.arrived_quantity IS
    'sum of its known fills; filled_quantity can be ahead, for a status can come before its execution';
UPDATE order_intents SET arrived_quantity = known.quantity
    FROM (SELECT account, client_order_id, sum(quantity) AS quantity FROM effective_fills GROUP BY 1, 2) AS known
    WHERE known.account = order_intents.account AND known.client_order_id = order_intents.client_order_id;
CREATE INDEX order_intents_awaiting ON order_intents (account) WHERE filled_quantity > arrived_quantity;
"""

OLD_VIEW = """
CREATE OR REPLACE VIEW effective_fills AS
    SELECT DISTINCT ON (account, series) * FROM fills ORDER BY account, series, revision DESC;
DROP INDEX fills_series;
"""


def upgrade() -> None:
    op.execute(VIEW)
    op.execute(ARRIVED)


def downgrade() -> None:
    op.execute("ALTER TABLE order_intents DROP COLUMN arrived_quantity")
    op.execute(OLD_VIEW)
