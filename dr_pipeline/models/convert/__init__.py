"""Weights of other frameworks and of quantised models, converted to safetensors."""
