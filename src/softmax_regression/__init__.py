"""Softmax regression from scratch, in an experiment-tracked pipeline."""
