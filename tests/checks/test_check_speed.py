"""The checks run on every render, so they must stay far below the start of the interpreter."""

from time import process_time

from good_variants import good

from krm_fn.checks import faults


def test_a_variant_takes_milliseconds_at_most():
    context = good()
    faults(context)
    runs = [good() for _ in range(5)]
    start = process_time()
    for context in runs:
        faults(context)

    assert (process_time() - start) / len(runs) < 0.01
