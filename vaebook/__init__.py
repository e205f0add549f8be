"""This book's own laboratory: its recipes and experiments, its explorers, and what builds its pages."""
