"""Results as FHIR R4 resources: their codes, a file of them, and a server that takes them."""
