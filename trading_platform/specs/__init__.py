"""What is traded, as files: one YAML per agent in ``strategies``, the instruments in ``universe.yaml``."""
