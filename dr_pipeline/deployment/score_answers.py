"""The answers of a grader, from the scores of its files."""

from collections.abc import Sequence

import numpy as np

from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.schema import NUM_GRADES
from dr_pipeline.scoring.score import Score


def answers_of(scores: Sequence[Score]) -> Answers:
    """The answers for N photographs."""
    gradings = [score.grading for score in scores]
    no_answer = (np.nan,) * NUM_GRADES
    probabilities = np.array([one.probabilities if one else no_answer for one in gradings], dtype=np.float64)
    return Answers(
        status=tuple(score.status for score in scores),
        grade=np.array([one.grade if one else -1 for one in gradings], dtype=np.int64),
        probabilities=probabilities.reshape(len(scores), NUM_GRADES),
        referable=np.array([one.referable if one else False for one in gradings], dtype=np.bool_),
        referable_probability=np.array([one.referable_probability if one else np.nan for one in gradings]),
    )
