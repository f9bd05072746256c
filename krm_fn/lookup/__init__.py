"""Online queries of the command line: they write facts, never manifests.

Rule: heavy and networked libraries (the extra `krm-fn[online]`) are imported here and nowhere else,
inside the function that needs them. The KRM function cannot reach this room.
"""
