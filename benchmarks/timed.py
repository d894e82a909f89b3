"""Runs a command and prints what it took, as the last line, in JSON."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

begun = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
took = {"wall_s": time.perf_counter() - begun, "cpu_s": used.ru_utime + used.ru_stime, "rss_mib": used.ru_maxrss / 1024}
print(json.dumps(took))
