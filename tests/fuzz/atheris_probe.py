"""python tests/fuzz/atheris_probe.py -max_total_time=30"""

from atheris_run import fuzz

fuzz("probe")
