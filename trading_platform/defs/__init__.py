"""What Dagster is told: thin wrappers, one folder per stage, and jobs, schedules, sensors, partitions.

Dagster warns at every use of an interface that it calls beta. Those in use here are pinned by the constraints file and
covered by tests, so the warnings, some forty at each import, only hide others.
"""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)
