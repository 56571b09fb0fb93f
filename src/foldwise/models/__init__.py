"""Models: timm's, and our own, which register with timm when this package is imported."""

from foldwise.models import convnet

__all__ = ["convnet"]
