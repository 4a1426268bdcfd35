"""The training pipeline: autoencoder, base model (action and memory together), later teacher, distillation and depth."""
