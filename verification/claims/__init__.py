"""What theorems claim: which jobs each needs, and which judge decides. Every module here is discovered."""
