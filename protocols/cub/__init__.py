"""CUB-200-2011: photographs of birds, 15 parts that may be hidden."""
