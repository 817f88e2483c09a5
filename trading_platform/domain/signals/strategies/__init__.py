"""The strategies. A module here exports its one class as ``STRATEGY``; a spec names the module.

A strategy is a frozen dataclass whose fields, all with defaults, are its parameters. Importing one must stay
light (no pandas, no TA-Lib at module level), for every spec is checked against its class when it is loaded.
"""
