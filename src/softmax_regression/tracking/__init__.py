"""MLflow: the store, a run being written, what each stage logs, the UI."""
