"""How a round of Local SGD is computed: one file a way."""
