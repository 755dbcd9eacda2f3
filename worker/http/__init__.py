"""The HTTP service, a small process of its own: four endpoints, Prometheus, probes, and the status page.

Needs the extra ``http`` (Starlette, uvicorn). It reads as ``ml_analyst``; all that it writes is a drift baseline.
"""
