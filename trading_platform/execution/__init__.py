"""Between ledger and broker: sending orders, waiting for fills, reconciling. Orders leave from ``submit`` only."""
