"""What the Snakefile calls: the plan of its configuration, or one line that says what is wrong with it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from vitreous.config.estimate import estimate, named_lines
from vitreous.config.load import load
from vitreous.config.plan import Plan
from vitreous.errors import VitreousError

# The configuration of the repository that this package is installed from; found from any working directory.
DEFAULT_CONFIG = str(Path(__file__).resolve().parents[3] / "config" / "minimal.yaml")
DRY_RUN = re.compile(r"--dry-?run|-[a-z]*n[a-z]*")


def read_plan(data: Mapping[str, Any], configfiles: Sequence[str], arguments: Sequence[str]) -> Plan:
    """The plan of a configuration; where the command line asks for a dry run, what it means is printed.

    Raises Snakemake's WorkflowError, which is shown without a traceback.
    """
    try:
        plan = Plan(load(data, configfiles), str(configfiles[-1]) if configfiles else None)
        dry_run = any(DRY_RUN.fullmatch(argument) for argument in arguments)
        lines = [*estimate(plan).lines(), *named_lines(plan)] if dry_run else []
    except VitreousError as error:
        raise WorkflowError(f"configuration: {error}") from None
    for line in lines:
        print(line, file=sys.stderr)
    return plan
