"""What the train stage leaves: the experiment, the history, the model."""
