"""What jobs were measured to hold and to take, a unit of their work each: what requests are computed from.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

MIB = 2**20
# What is asked for over what is computed: memory; time, since nodes, file systems and neighbours differ.
MARGIN, SLACK = 1.25, 4.0
# The two engine processes of 166 MiB, and srun, that Slurm counts to a job beside the job itself: measured.
ENGINE = 350
# A CUDA context and its libraries in the host's memory: assumed.
CUDA_HOST = 3000
# MiB that a job takes before it holds anything, from the logs of the default study: Python with pyarrow; with torch.
LIGHT, TORCH = 220, 650
# As in products.py and negatives/candidates.py, which the DAG must not load; a test compares them.
QUERY_BLOCK, PASSAGE_BLOCK, HELD = 256, 1 << 16, 1 << 24
# A candidate with its score, and a doc id as a Python string (docs/scale.md, "Mining for the paper's study").
CANDIDATE, DOC_ID = 12, 57
# A word of the vocabulary; words of a million passages, which grow with that power of their number (docs/scale.md).
WORD, WORDS, HEAPS = 210, 645_975, 0.555
# A training query while triples are sampled, its vector left out: (1,540 - 220) MiB for 502,739 of them; and each
# negative more that it has: 275 bytes, by 10 more for each of 60,000 queries.
SAMPLED_QUERY, SAMPLED_NEGATIVE = 1300, 300
# Triples' texts while they are gathered: 1.4 GB a million (docs/scale.md).
TRIPLE_TEXTS = 1400
# What a training holds over the size of the weights: they, their gradients, AdamW's two moments, the weights that it
# started from (drift is taken to them) and a copy that is encoded with at a look at the development set; of the base of
# an adapter the first and the last, and what it is merged into. Measured as the slope of peak memory over BERTs of 87,
# 418 and 1,279 MiB: full 6.2 (through sentence-transformers 5.7), LoRA 2.6 (1.6). On a GPU the host holds what is read
# and written: assumed.
TRAINED_COPIES, TRAINED_COPIES_GPU = {"full": 6.25, "lora": 2.75}, 4
# Activations of a training step, bytes for each token, layer and hidden unit: the default study's peaks less its
# weights come to 52 with no dropout; masks of dropout add to it.
ACTIVATION = 80
# As in training/steps.py, which the DAG must not load (a test compares them).
KEPT_TOKENS = 16384
# Reading a run a query at a time and scoring it: 325 MiB in the default study, 346 MiB for 6,980 queries of 1,000 hits
# (16 s). Statistics beside it take some more: compare_variants 291 MiB, most of it libraries.
MEASURED_MIB, MEASURED_QUERY = 600, 5000
# Processor seconds (docs/scale.md, "Work"): a query against a passage, mined and ranked; a million passages of tables.
MINED, RANKED, TABLES = 14.1e-9, 25e-9, 25.0
# Tokens a second of MiniLM's 22 M parameters: encoding and training, one core (default study), one GPU (A1, A2).
ENCODED, TRAINED, ENCODED_GPU, TRAINED_GPU = 3000, 2000, 250_000, 98_000
MINILM_MIB = 87
# Bytes of a passage's text while it is reranked, and of a hit with its id (assumed); queries that are held, as in
# retrieval/reranking.py (a test compares them).
RERANKED_TEXT, RERANKED_HIT, RERANKED_QUERIES = 1000, 150, 1000
# Queries of a set that are looked at, as in explaining/triple_facts.py (a test compares them).
EXAMINED = 5000
# Of a data set of the hub before it is fetched.
ASSUMED_PAIRS_MIB = 200
# Minutes that any job may take to start and to read its files.
LEAST = 30
