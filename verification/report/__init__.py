"""Shows rows of evidence: `pages` arranges them as plain data, every other module here is one face of them."""
