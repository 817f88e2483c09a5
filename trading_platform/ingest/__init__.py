"""From a source to raw bars: what to ask for, asking, and what an answer replaces. Nothing here judges a bar."""
