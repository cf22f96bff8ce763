"""Tests of guest_stub.svm_link, one file for each module."""
