"""python tests/fuzz/atheris_secret_spec.py -max_total_time=30"""

from atheris_run import fuzz

fuzz("secret_spec")
