"""One experiment is one MLflow run: the store, the run, and what keeps them in step with DVC."""
