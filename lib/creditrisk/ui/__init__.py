"""What people see: the page, the binning bench and the pictures of reports."""

PRODUCT = "Credit Risk Workbench"
