"""What MemOS is compared with, and how it fares. Run by `make bench`."""
