"""DeepFashion: full bodies of models before white."""
