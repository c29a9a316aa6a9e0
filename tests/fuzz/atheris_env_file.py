"""python tests/fuzz/atheris_env_file.py -max_total_time=30"""

from atheris_run import fuzz

fuzz("env_file")
