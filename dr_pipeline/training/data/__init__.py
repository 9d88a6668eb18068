"""The data of a training step: sampler, data set and loader, augmentation, targets, teacher, batches."""

import os

# Or else albumentations, when it is imported, asks a server for its latest version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
