"""The OpenAPI description of the endpoints."""

from __future__ import annotations

from typing import Any


def description(version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pattern scoring",
            "version": version,
            "description": "The state of pattern scoring, as its views in PostgreSQL give it.",
        },
        "paths": {
            "/api/ml/health": {
                "get": _operation(
                    "Whether scoring works, how well, and what needs somebody",
                    {"200": _answer("healthy or degraded", "Health"), "503": _answer("unavailable", "Health")},
                )
            },
            "/api/ml/metrics": {
                "get": _operation(
                    "Rates, latencies and confidences: now, and over time",
                    {
                        "200": _answer("current is null before the first row", "Metrics"),
                        "400": _error(),
                        "503": _error(),
                    },
                    parameters=[
                        {
                            "name": "grain",
                            "in": "query",
                            "schema": {"type": "string", "enum": ["minute", "hour", "day"], "default": "minute"},
                        }
                    ],
                )
            },
            "/api/ml/alerts": {
                "get": _operation(
                    "Alerts that stand now", {"200": _answer("The critical ones first", "Alerts"), "503": _error()}
                )
            },
            "/api/ml/baseline": {
                "post": _operation(
                    "Measure drift from now on against a window of live rows, or the training rows again",
                    {
                        "200": _answer("status is success"),
                        "400": _error(),
                        "401": _error(),
                        "403": _error(),
                        "503": _error(),
                    },
                    security=[{"token": []}],
                    requestBody={
                        "required": True,
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["reason"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "reason": {"type": "string"},
                                        "version": {"type": "string"},
                                        "since": {"type": "string", "format": "date-time"},
                                        "until": {"type": "string", "format": "date-time"},
                                    },
                                }
                            }
                        },
                    },
                )
            },
            "/api/ml/page": {
                "get": _operation("What the status page shows", {"200": _answer("One object"), "503": _error()})
            },
            "/metrics": {
                "get": _operation(
                    "For Prometheus",
                    {"200": {"description": "Text format 0.0.4", "content": {"text/plain": {}}}, "503": _error()},
                )
            },
            "/healthz": {"get": _operation("Whether this process lives", {"200": _answer("It does")})},
            "/readyz": {
                "get": _operation(
                    "Whether the database answers", {"200": _answer("It does"), "503": _answer("It does not")}
                )
            },
        },
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "responses": responses, **more}


def _answer(text: str, schema: str | None = None) -> dict[str, Any]:
    content = {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}
    return {"description": text, "content": {"application/json": {"schema": content}}}


def _error() -> dict[str, Any]:
    return _answer("What went wrong", "Error")


_SCHEMAS: dict[str, Any] = {
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"type": "string", "enum": ["healthy", "degraded", "unavailable"]},
            "model_loaded": {"type": "boolean"},
            "phase5_enabled": {"type": "boolean"},
        },
        "additionalProperties": True,
    },
    "Metrics": {
        "type": "object",
        "required": ["current", "history"],
        "properties": {
            "current": {"type": ["object", "null"]},
            "history": {"type": "array", "items": {"type": "object"}},
        },
    },
    "Alerts": {
        "type": "object",
        "required": ["alerts", "count", "timestamp"],
        "properties": {
            "alerts": {"type": "array", "items": {"type": "object"}},
            "count": {"type": "integer"},
            "timestamp": {"type": "string", "format": "date-time"},
        },
    },
    "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
}
