"""vectorbt's part of ``indicators.py``, run in an interpreter that has it: bars from a file, results into a file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt


def compute(high: pd.DataFrame, low: pd.DataFrame, close: pd.DataFrame, volume: pd.DataFrame) -> list[np.ndarray]:
    """The 17 indicators; what vectorbt has no indicator for is done with its ``.vbt`` accessor."""
    before = close.vbt.fshift(1)
    change = np.log(close / before)
    mean = vbt.MA.run(close, 20).ma.to_numpy()
    macd = vbt.MACD.run(close, 12, 26, 9, macd_ewm=True, signal_ewm=True, adjust=False)
    bands = vbt.BBANDS.run(close, 20, alpha=2)
    moves = close - before
    gain, loss = moves.clip(lower=0).vbt, (-moves).clip(lower=0).vbt
    up, down = gain.ewm_mean(27, adjust=False).to_numpy(), loss.ewm_mean(27, adjust=False).to_numpy()
    reach = np.maximum(high, before) - np.minimum(low, before)
    channel = vbt.STOCH.run(high, low, close, k_window=20)
    return [
        (close / before - 1).to_numpy(),
        change.to_numpy(),
        mean,
        vbt.MA.run(close, 12, ewm=True, adjust=False).ma.to_numpy(),
        vbt.MA.run(close, 26, ewm=True, adjust=False).ma.to_numpy(),
        macd.macd.to_numpy(),
        macd.signal.to_numpy(),
        macd.hist.to_numpy(),
        100 * up / (up + down),
        reach.vbt.ewm_mean(27, adjust=False).to_numpy(),
        bands.upper.to_numpy(),
        bands.lower.to_numpy(),
        change.vbt.rolling_std(20).to_numpy(),
        (close.to_numpy() - mean) / close.vbt.rolling_std(20).to_numpy(),
        channel.percent_k.to_numpy() / 100,
        volume.to_numpy() / vbt.MA.run(volume, 20).ma.to_numpy(),
        close.to_numpy() / close.vbt.rolling_max(63).to_numpy() - 1,
    ]


def main() -> None:
    """Warm up, which compiles, then measure; print version and seconds."""
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    _, high, low, close, volume = (pd.DataFrame(np.ascontiguousarray(part)) for part in np.load(folder / "bars.npy"))
    np.save(folder / "results.npy", np.array(compute(high, low, close, volume)))
    seconds = []
    for _ in range(rounds):
        start, processor = time.perf_counter(), time.process_time()
        compute(high, low, close, volume)
        seconds.append((time.perf_counter() - start, time.process_time() - processor))
    print(json.dumps({"version": vbt.__version__, "seconds": seconds}))


if __name__ == "__main__":
    main()
