"""What the homework notebooks share: data, training, figures, answer checks, provenance."""
