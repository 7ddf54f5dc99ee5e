"""The families in which comparisons are tested together, by name."""

# The study's own variants at the primary place; what is there to be tried instead, there too; all other rows; and those
# that help with one another.
CLAIMS, ALTERNATIVES, EXPLORES, HELPERS = "claims", "alternatives", "explores", "helpers"
# Families whose rows say whether a variant helps; each is adjusted for itself.
CLAIMING = (CLAIMS, ALTERNATIVES)
