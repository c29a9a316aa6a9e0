"""python tests/fuzz/atheris_release.py -max_total_time=30"""

from atheris_run import fuzz

fuzz("release")
