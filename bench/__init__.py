"""Every measurement, on servers of its own."""
