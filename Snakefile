# vitreous: from micrographs to picks, maps and a report. This page validates the configuration, includes one rule
# file a room and names the targets. `vitreous.config.plan` knows every path and hands each rule its own block.
import sys

from snakemake.utils import min_version

from vitreous.config.workflow import DEFAULT_CONFIG, read_plan

min_version("9.0")

if not workflow.configfiles:

    configfile: DEFAULT_CONFIG


plan = read_plan(config, workflow.configfiles, arguments=sys.argv)
config.update(plan.jobs_config())


wildcard_constraints:
    dataset=plan.NAME,
    denoiser=plan.NAME,
    picker=plan.NAME,
    selection=plan.NAME,
    target=plan.NAME,
    engine=plan.NAME,
    ctf=plan.NAME,
    model=plan.NAME,
    seed=r"\d+",
    batch=r"\d+-of-\d+",


localrules:
    all,


rule all:
    default_target: True
    input:
        plan.report,


# Tables by name: `snakemake comparison_picking`, `snakemake picking_table1`.
for table, files in plan.targets().items():

    rule:
        name:
            table
        input:
            files,
        localrule: True


include: "workflow/rules/data.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/picking.smk"
include: "workflow/rules/reconstruction.smk"
include: "workflow/rules/multitarget.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/report.smk"
