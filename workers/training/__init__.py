"""Training: the steps that pipelines share between a prepared table and an evaluated model.

Candidate --build--> estimator --cross_validate--> Scored --leader--> the one to refit --judge--> Report
"""

from __future__ import annotations

from workers.training.candidates import Candidate, Scored, better_half, grid, leader, standings
from workers.training.encoding import with_encoder
from workers.training.families import build, guesser
from workers.training.fitting import Fitted, cross_validate, fit_aloud
from workers.training.measures import Report, Task, judge, main_measure, score_again
from workers.training.tables import Division, Examples, Parts, divide, examples, folds_of, sample

__all__ = [
    "Candidate",
    "Division",
    "Examples",
    "Fitted",
    "Parts",
    "Report",
    "Scored",
    "Task",
    "better_half",
    "build",
    "cross_validate",
    "divide",
    "examples",
    "fit_aloud",
    "folds_of",
    "grid",
    "guesser",
    "judge",
    "leader",
    "main_measure",
    "sample",
    "score_again",
    "standings",
    "with_encoder",
]
