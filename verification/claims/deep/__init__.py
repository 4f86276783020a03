"""Deep networks: at initialization, near it, along Local SGD, and where their widths come from."""
