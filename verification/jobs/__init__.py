"""What is measured: frozen dataclasses of plain values whose ``compute`` returns numbers to keep."""
