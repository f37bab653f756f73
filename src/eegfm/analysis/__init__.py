"""Looking closer at trained models: explanations, maps of places and embeddings, controls."""
