"""params.yaml as strict, frozen models: the only place with parameter names, types and limits. No defaults."""
