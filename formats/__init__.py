"""Reading and writing of artifacts: bytes to arrays and tables, and back."""
