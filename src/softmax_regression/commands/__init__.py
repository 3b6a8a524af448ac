"""What a person types: run, show, doctor, parity, predict. Each returns the text that is printed."""
