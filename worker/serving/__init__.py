"""Scoring rows as they arrive: wait, claim a batch, gather its inputs, score it, write it."""
