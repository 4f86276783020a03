"""This project beside its peers: both sides measured in one run, ratios quoted."""
