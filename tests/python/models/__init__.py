"""Networks written plainly in PyTorch or configured with transformers, and what runs their exports."""
