"""What a trained model is worth: metrics, reference bands, predictions, pictures."""
