"""foldwise: Kaggle image classification, fold by fold."""

__version__ = "0.1.0"
