"""kpbench beside the public AutoLink code: the same work, the same weights, the same device."""
