"""The command line: `dr-pipeline VERB …`. One verb per DVC stage, and the user's own commands.

Imports nothing heavy: a verb's module is imported when the verb is called, and what it needs when it runs.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from dr_pipeline import __version__
from dr_pipeline.errors import DrPipelineError
from dr_pipeline.logs import logger, show_messages
from dr_pipeline.machine import limit_library_threads
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages import STAGES
from dr_pipeline.streams import never_fail

COMMANDS = (
    "score",
    "merge",
    "replay",
    "bench",
    "results",
    "listen",
    "review",
    "drift",
