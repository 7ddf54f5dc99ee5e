"""A dozen passages of a sentence each, by id, for tests that look at every one."""

PASSAGES = {
    "sort": "Sort the elements of an array along an axis and return a sorted copy of it.",
    "fft": "Compute the discrete Fourier transform of a signal with the fast algorithm.",
    "svd": "Factor a matrix into singular vectors and singular values.",
    "eig": "Compute the eigenvalues and eigenvectors of a square matrix.",
    "mean": "Compute the arithmetic mean along the specified axis of an array.",
    "join": "Join a sequence of strings into one string, with a separator between them.",
    "split": "Split a string into a list of strings at every occurrence of a separator.",
    "random": "Draw random samples from a uniform distribution over an interval.",
    "plot": "Draw a line through the points of a figure with markers and colours.",
    "read": "Read a table from a file of comma-separated values into memory.",
    "solve": "Solve a linear system of equations for its unknowns.",
    "det": "Compute the determinant of a square matrix from its factors.",
}
