"""What the command line does, one module a group of commands. Nothing heavy is imported."""
