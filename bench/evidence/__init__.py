"""The evidence of ``docs/model.md``: what the model would have answered year by year, on every open market."""
