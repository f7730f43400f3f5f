"""The form of ``record.json`` as this version writes it, field by field: what comes from elsewhere has it or stays out.

A record of one's own need not pass: older versions wrote less, and ``benchmark.store.records`` reads them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

Count = Annotated[StrictInt, Field(ge=0, le=2**53)]
Text = Annotated[StrictStr, Field(max_length=100_000)]
Name = Annotated[StrictStr, Field(max_length=200)]
Split = Annotated[StrictStr, Field(pattern=r"^\w[\w.-]*$", max_length=100)]
Seconds = Annotated[StrictFloat | StrictInt, Field(ge=0, le=1e12, allow_inf_nan=False)]
Number = Annotated[StrictFloat | StrictInt, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Fraction = Annotated[StrictFloat | StrictInt, Field(ge=0, le=1, allow_inf_nan=False)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Macs(_Form):
    """Multiply-adds, see ``benchmark.measure.counting``."""

    encoder: Count
    cross_kv: Count
    decoder_token: Count
    position: Count
    backend: Name


class Counts(_Form):
    """Weights and bytes."""

    prunable: Annotated[StrictInt, Field(gt=0, le=2**53)]
    prunable_nonzero: Count
    prunable_stored: Count
    params_dense: Count
    params_nominal: Count
    params_stored: Count
    bytes: Count
    weight_bytes: Count | None = None
    macs: Macs


class PlanSaid(_Form):
    """What is kept."""

    digest: Name
    nominal: Fraction
    stored: Fraction
    quantised: Literal["int8"] | None = None


class Reached(_Form):
    """The budget, and what came of it."""

    kind: Name
    asked: Fraction | None
    reached: Fraction | None
    denominator: Count
    tolerance: Fraction
    allowed: Fraction | None = None


class Where(_Form):
    """What a Fit ran under."""

    device: Name
    threads: Count
    commit: Name | None = None


class Training(_Form):
    """What was spent on the path."""

    steps: Count
    utterances: Count
    tokens: Count
    calibration_passes: Count
    teacher_passes: Count = 0
    skipped_steps: Count = 0
    seconds: Seconds
    losses: list[Number] = []
    nodes: list[Name] = []
    trained_on: list[Where] = []
    data_hash: Name | None = None


class Tested(_Form):
    """One split."""

    hash: Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{8,64}$")]
    utterances: Annotated[StrictInt, Field(ge=1, le=2**31)]
    skipped: Count = 0
    longer: Count = 0
    in_training: Count = 0
    transcripts: Annotated[StrictStr, Field(pattern=r"^transcripts-[\w.%~-]+\.parquet$", max_length=300)]


class Decoded(_Form):
    """How text was decoded."""

    signature: Name


class Environment(_Form):
    """Where it was evaluated."""

    device: Name
    threads: Count
    python: Name | None = None
    machine: Name | None = None
    commit: Name | None = None
    versions: dict[Name, Name] = {}


class Watched(_Form):
    """What a study saw."""

    split: Split
    utterances: Count
    signature: Name
    values: list[tuple[Count, Number]]


class Failure(_Form):
    """Why there is no result."""

    type: Name
    message: Text
    traceback: list[Text] = []


class StoppedAt(_Form):
    """Where a study stopped it."""

    at: Count
    of: Count
    reason: Text
    node: Name | None = None


class _Record(_Form):
    format: Count
    cell: Name
    attempt: Name
    spec: dict[str, object]
    finished: Name | None = None
    environment: Environment | None = None
    seconds: Seconds | None = None


class Result(_Record):
    """Status ``ok``."""

    status: Literal["ok"]
    error: None = None
    plan: PlanSaid
    counts: Counts
    budget: Reached
    training: Training
    data: dict[Split, Tested]
    decoding: Decoded
    watched: Watched | None = None


class Failed(_Record):
    """Status ``failed``."""

    status: Literal["failed"]
    error: Failure


class Stopped(_Record):
    """Status ``pruned``."""

    status: Literal["pruned"]
    error: None = None
    stopped: StoppedAt
    watched: Watched
    training: Training | None = None
    decoding: Decoded | None = None


FORMS: dict[str, type[_Record]] = {"ok": Result, "failed": Failed, "pruned": Stopped}
