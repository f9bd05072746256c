"""Families of model architectures: how each one's config.json is read.

A family is a value: which layers it has, what stands in them, which biases and norms. A new
architecture is one entry of a table (`decoders`, `mixtures`, `hybrids`, `encoders`, `multimodal`),
not a new branch. Reading order: `config`, `family`, `layer_types`, `mixers`, a table.
"""
