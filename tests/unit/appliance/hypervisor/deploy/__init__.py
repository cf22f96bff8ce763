"""Deploying an SVM."""
