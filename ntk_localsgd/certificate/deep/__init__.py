"""Deep networks: averages in place of secants, free slopes, exact propagators; ``docs/theory.md`` §5.5."""
