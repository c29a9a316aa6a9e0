"""python tests/fuzz/atheris_inventory.py -max_total_time=30"""

from atheris_run import fuzz

fuzz("inventory")
