"""python tests/fuzz/atheris_compose_file.py -max_total_time=30"""

from atheris_run import fuzz

fuzz("compose_file")
