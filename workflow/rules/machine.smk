"""What jobs have here: cores, memory and GPUs of this machine, or of a cluster."""

from backfire.jobs.gpus import visible_gpus
from backfire.jobs.logs import usable_threads
from backfire.jobs.resources import available_memory

# The executor is not known while rules are read, but a cluster demands --jobs, which a local run does not keep.
CLUSTER = workflow.is_main_process and workflow.resource_settings.nodes is not None
LOCAL = workflow.is_main_process and not CLUSTER
# Local jobs share the processors that there are, whatever --cores says, so that they do not press on one another.
LOCAL_CORES = None
if LOCAL:
    LOCAL_CORES = usable_threads(workflow.global_resources["_cores"].value or 1)
    workflow.register_resource("_cores", LOCAL_CORES)
    # And the memory: who asks for more than there is runs alone.
    if memory := available_memory():
        workflow.global_resources.setdefault("mem_mb", memory)
# A cluster has the GPUs that its profile tells (resources: [gpu=...]). That limit is not handed on to the jobs.
if CLUSTER:
    GPUS = workflow.global_resources.get("gpu").value or 0
else:
    GPUS = len(visible_gpus()) if LOCAL else int("SLURM_GPUS" in os.environ)
    if GPUS:
        workflow.global_resources.setdefault("gpu", GPUS)
GPU = min(1, GPUS)
# A job of a model takes up to this many cores; locally two run at once, as much is not parallel, or one for each GPU.
THREADS = min(8, max(1, LOCAL_CORES // max(2, GPUS))) if LOCAL_CORES else 8
ALL_THREADS = LOCAL_CORES or THREADS  # What must run alone.
