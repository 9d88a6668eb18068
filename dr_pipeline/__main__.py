"""`python -m dr_pipeline` is `dr-pipeline`."""

import sys

from dr_pipeline.cli import main

sys.exit(main())
