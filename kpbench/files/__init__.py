"""Files, whatever they are about: written whole or not at all, hashed, foreign formats read safely.

Nothing that is read here is run, and nothing here loads a method or a protocol.
"""
