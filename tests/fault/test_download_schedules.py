"""A few of the random schedules of faults; `tests/fault_schedules.py --count 500` runs them all."""

from __future__ import annotations

import pytest
from fault_schedules import run_schedule


@pytest.mark.parametrize("seed", range(1000, 1015))
def test_after_a_random_schedule_of_faults_nothing_is_lost(seed: int) -> None:
    report = run_schedule(seed)
    assert not report.trouble, report.trouble
