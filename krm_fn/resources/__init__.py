"""Kubernetes objects as dicts, one file a concern: pure builders with typed arguments.

May import engines (for `Server`) and below. Knows no engine by name, no target, no YAML, no clock.
"""
