"""Which DVC state, commit and MLflow run belong together: naming, restoring, syncing, the run of a training."""
