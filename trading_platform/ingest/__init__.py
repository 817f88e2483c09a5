"""From the broker to raw bars. Nothing here validates; nothing here writes."""
