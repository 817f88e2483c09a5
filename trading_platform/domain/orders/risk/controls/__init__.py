"""One risk control per file; a file here is found and asked without being named anywhere else."""
