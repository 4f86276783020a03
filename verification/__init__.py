"""Scripts that check the theory's claims against measurements, one a family of claims."""
