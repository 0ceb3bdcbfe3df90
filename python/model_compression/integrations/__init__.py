"""Other libraries' training loops."""
