"""What a trained model does: figures of merit, statistics, pictures."""
