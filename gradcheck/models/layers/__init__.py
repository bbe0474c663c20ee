"""Layers that people write by hand, each with its forward and backward pass, and the models that are a chain of them."""
