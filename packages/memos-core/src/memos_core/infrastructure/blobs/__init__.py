"""Blobs: tensors and adapters, as files under ids of their own, beside the system of record."""
