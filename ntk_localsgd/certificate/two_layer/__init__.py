"""Two layers: neuron by neuron, one radius for all or along the predicted path; ``docs/theory.md`` §5."""
