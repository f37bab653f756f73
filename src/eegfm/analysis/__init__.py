"""A closer look at trained models: explanations, maps of spatial weights and of embeddings, controls."""
