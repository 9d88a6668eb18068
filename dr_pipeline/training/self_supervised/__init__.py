"""Self-supervised training: an encoder learns from photographs without grades, before a grader is fine-tuned."""
