"""The rendered people that come with kpbench, in the roles of the papers' data sets."""
