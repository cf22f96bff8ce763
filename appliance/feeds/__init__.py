"""What both the SVM and a Private KSN read: files of feeds, web addresses. No word of what becomes of it.

- `lines`     the lines of a file, or of the one file in a ZIP; what is bad is told and passed over
- `csv_line`  a line of CSV, and the times that feeds write
- `urlhaus`   URLhaus's CSV, by its header line
- `web_address`  a URL in its one normal form
"""
