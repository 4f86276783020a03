"""Commands of ``ntk-localsgd`` on the user's own data, one a module; what they share is in `problem` and `output`."""
