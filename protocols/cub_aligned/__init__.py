"""CUB-200-2011 as Lorenz et al. aligned it: all birds look to the left."""
