"""The demo: real market data, a stand-in for the application that detects patterns, and the whole path once."""
