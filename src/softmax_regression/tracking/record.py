"""What a run has on record."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# Tags of our own.
CONFIG, KEY, ATTEMPT, LIVE = "experiment.config", "experiment.key", "experiment.attempt", "experiment.live"
SETTLING = "settling"  # LIVE of a run that has just finished, until it is known which one represents its experiment
DELETED = "experiment.deleted"  # how many finished relatives are deleted in MLflow, and may be restored
REPRODUCES, REPRODUCED = "experiment.reproduces", "experiment.reproduced"
CONFIGURATION = "experiment.configuration"  # from the start of the run on
RESTORED = "experiment.restored"  # "true": rebuilt from the outputs; "completed": cut off, then completed from them
CHECKPOINT = "experiment.checkpoint"  # names the checkpoint that a killed training goes on from, into this run
PROCESSES = "train.processes"  # how many have trained it, the last ones where it was resumed
KILLED, ERROR = "experiment.killed", "experiment.error"
OUTPUTS = "outputs."  # and the name of an output of DVC's: its digest, as in dvc.lock, once the run has all of it
INCOMPLETE = "incomplete"  # instead of the digest, while that output is being recorded
DVC_EXPERIMENT, DVC_BASELINE, DVC_ALSO = "dvc.exp.name", "dvc.exp.baseline", "dvc.exp.also"


@dataclass(frozen=True)
class RunRecord:
    """A run as the store had it when asked; times are milliseconds since 1970, `metrics` the latest values."""

    run_id: str
    name: str
    status: str
    start_time: int
    end_time: int | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    deleted: bool = False

    @property
    def config_key(self) -> str:
        """Digest of what the experiment is made from, known before training: params, data, the code of the weights."""
        return self.tags.get(CONFIG, "")

    @property
    def key(self) -> str:
        """Digest of the experiment: params, data, weights; empty until training has ended."""
        return self.tags.get(KEY, "")

    @property
    def configuration(self) -> str:
        """Digest that the seeds of one configuration share: params without the seed, and data; empty if not known."""
        return self.tags.get(CONFIGURATION, "")

    @property
    def attempt(self) -> int:
        """How many runs of this configuration there had been, this one included."""
        number = self.tags.get(ATTEMPT, "")
        return int(number) if re.fullmatch("[0-9]{1,9}", number) else 1

    @property
    def live(self) -> bool:
        """Whether this is the run that represents its experiment: finished, not superseded, no repetition."""
        return self.status == "FINISHED" and self.tags.get(LIVE) == "true"

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of DVC's that the run holds, all of each: digests by name."""
        held = {tag.removeprefix(OUTPUTS): digest for tag, digest in self.tags.items() if tag.startswith(OUTPUTS)}
        return {name: digest for name, digest in held.items() if digest != INCOMPLETE}

    @property
    def dvc_experiment(self) -> str:
        """Name of the DVC experiment that the run belongs to, or empty."""
        return self.tags.get(DVC_EXPERIMENT, "")

    def __str__(self) -> str:
        if self.status != "FINISHED":
            state = self.status.lower()
        else:
            state = "live" if self.live else "a repetition" if self.tags.get(REPRODUCES) else "superseded"
        return f"{self.name} ({self.run_id[:8]}, {state})"
