"""Measurements and the demo: real market data, and a stand-in for the application that detects patterns."""
