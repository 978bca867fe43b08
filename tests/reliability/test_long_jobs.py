"""A part of what `long_jobs.py` measures: memory that grows with steps or calls shows early."""

import json
import sys

import pytest
from support import run_python

# In a process of its own, where nobody else's garbage is counted.
MEASURE = """
import json, sys
sys.path.insert(0, "tests")
from reliability import long_jobs
print(json.dumps([long_jobs.steps(600), long_jobs.calls(10)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_steps_and_calls():
    training, sampling = json.loads(run_python(MEASURE).strip().splitlines()[-1])
    assert training["steps"] >= 600
    # What a step holds (activations, gradients, a trace) would be far more, kept 600 times.
    assert training["after"] - training["before"] < 24
    assert sampling["after"] - sampling["before"] < 24
