"""What is measured, and what was found."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    rounds: int
    seconds: float
    warmup: float
    # The temporary folders are made in it.
    data_dir: str
    # Seconds within which a start, an answer or an end has to come.
    limit: float = 30


@dataclass(frozen=True)
class Work:
    groups: int
    in_flight: int
    payload: int

    @property
    def words(self):
        groups = "1 group" if self.groups == 1 else f"{self.groups} groups"
        return f"{groups} × {self.in_flight:,}, {self.payload} B"


@dataclass
class Result:
    """Of one measurement."""

    writes_per_second: float
    cpu_us_per_write: float
    p50_us: float
    p99_us: float
    # What its check found wrong.
    problems: list = field(default_factory=list)
    more: dict = field(default_factory=dict)


@dataclass
class Line:
    """One system under one load: a line of the table."""

    system: object
    work: Work
    # By round; None when a round could not be measured.
    results: list = field(default_factory=list)
    # Why it isn't measured at all.
    missing: str | None = None

    def values(self, name):
        return [getattr(result, name) for result in self.results if result]
