"""Signals: strategies are small pure classes, each configured by a spec. Light to import."""
