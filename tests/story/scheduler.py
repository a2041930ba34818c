"""The app of the founding incident: its own scheduler, one call of gpt-4o-mini by OpenAI's SDK a run, by the home's clock.

scheduler.py SERVER EVERY TIMES
"""

from __future__ import annotations

import os
import sys
import time

import openai

import costmon
from costmon.errors import SpendBlocked
from costmon.shim.clock import clock_of
from costmon.shim.jobs.intervals import interval_us

server, every, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
now = clock_of(os.environ["COSTMON_HOME"])
client = openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)
costmon.instrument()


@costmon.job("trade", every=every)
def trade() -> None:
    client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": f"Buy or hold? {now()}"}]
    )


due = now()
for _ in range(times):
    try:
        trade()
    except SpendBlocked:
        print("refused", flush=True)
    due += interval_us(every)
    while now() < due:
        time.sleep(0.005)
