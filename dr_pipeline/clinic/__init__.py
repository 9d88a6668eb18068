"""Into a clinic: what is done with scored photographs, for patients, archives, reviewers and quality control."""
