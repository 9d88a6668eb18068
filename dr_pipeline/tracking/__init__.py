"""MLflow as a view of the pipeline's files: the only room that imports mlflow."""
