"""What an operator watches the SVM by.

- `logs`     structured lines on stderr, and the brake on lines that guests can cause
- `metrics`  /metrics for Prometheus, on a small HTTP server of its own
"""
