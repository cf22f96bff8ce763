"""What `svm doctor` looks at, over real files."""
