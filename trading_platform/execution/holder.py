"""Who submits: a name for this process that another one can later prove dead.

A holder's name is JSON with the machine (host, boot and process namespace), the process id and the run. On the
same machine a process id that does not exist is proof of death; anything else (another machine, an id that
exists and may have been given to somebody else) proves nothing, and nothing is concluded from it.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


def holder_name(run_id: str) -> str:
    """The name of this process as holder of a submission lease."""
    return json.dumps({**_machine(), "pid": os.getpid(), "run": run_id}, sort_keys=True)


def is_proved_dead(holder: str) -> bool:
    """Whether the process of that name certainly does not exist any more."""
    try:
        name = json.loads(holder)
        pid = int(name["pid"])
        machine = {"host": name["host"], "boot": name["boot"], "namespace": name["namespace"]}
    except (ValueError, TypeError, KeyError):
        return False
    if pid <= 0 or machine != _machine():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _is_zombie(pid)


def _machine() -> dict[str, str]:
    # Containers can share a host name and have their own process ids, hence the namespace.
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
    namespace = str(_PID_NAMESPACE.readlink()) if _PID_NAMESPACE.exists() else ""
    return {"host": socket.gethostname(), "boot": boot, "namespace": namespace}


def _is_zombie(pid: int) -> bool:
    """A zombie has ended and only waits to be noticed by its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["Z"]
