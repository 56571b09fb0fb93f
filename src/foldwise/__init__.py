"""foldwise: Kaggle image classification, fold by fold."""

import time

__version__ = "0.1.0"

STARTED = time.monotonic()  # what train.hours counts from
