"""Tests of ``ingest.sources``."""
