from backfire.datasets.docstrings import MIN_PASSAGE_WORDS, module_name, pairs, split_docstring

REST = "It walks over every node of the tree and adds the weight of each edge to the total found so far."


def found(source: str) -> dict[str, tuple[str, str]]:
    return {pair.name: (pair.query, pair.passage) for pair in pairs(source.encode(), "pack/deep/module.py")}


def documented(header: str, indent: str = "    ") -> str:
    return f'{header}\n{indent}"""Sum the weights\n{indent}of a tree.\n\n{indent}{REST}\n{indent}"""\n'


def test_qualified_names_of_modules_classes_methods_and_nested_functions():
    source = (
        f'"""Work with trees.\n\n{REST}"""\n'
        + documented("def total(x):")
        + "if True:\n"
        + documented("    async def later(x):", "        ")
        + "class Tree:\n"
        + documented("    def total(self):", "        ").replace("Sum", "Add up")
        + documented("        def inner(self):", "            ")
    )
    assert list(found(source)) == [
        "pack.deep.module",
        "pack.deep.module.total",
        "pack.deep.module.later",
        "pack.deep.module.Tree.total",
        "pack.deep.module.Tree.total.inner",
    ]
    assert found(source)["pack.deep.module.Tree.total"] == ("Add up the weights of a tree.", REST)


def test_a_source_is_read_without_running_it(tmp_path):
    proof = tmp_path / "ran"
    assert found(f"open({str(proof)!r}, 'w')\n" + documented("def total(x):"))
    assert not proof.exists()


def test_line_ends_and_indentation_do_not_change_a_pair():
    source = documented("def total(x):")
    assert found(source.replace("\n", "\r\n")) == found(source)
    assert found(source.replace("    ", "\t")) == found(source)


def test_a_string_that_is_no_docstring_gives_no_pair():
    assert not found(f'def total(x):\n    x += 1\n    """Sum the weights of a tree.\n\n    {REST}"""\n')
    assert not found(f'def total(x):\n    f"""Sum the weights of {{x}} trees.\n\n    {REST}"""\n')


def test_sources_that_do_not_parse_are_passed_over():
    assert not found('def total(:\n    """Sum the weights of a tree."""')
    assert not list(pairs(b'"""null \x00 byte"""', "pack/module.py"))


def test_the_repeated_query_is_cut_out_of_the_passage_at_word_boundaries():
    query, passage = split_docstring(f"Sum of tree weights\n\nSum of tree weights. {REST} Sum of tree weightsets.")
    assert query == "Sum of tree weights"
    assert passage == f". {REST} Sum of tree weightsets."


def test_the_passage_needs_enough_words_after_the_repetition_is_gone():
    words = " ".join(["word"] * MIN_PASSAGE_WORDS)
    assert split_docstring(f"Sum of weights.\n\n{words}") == ("Sum of weights.", words)
    assert split_docstring(f"Sum of weights.\n\n{words.removesuffix(' word')}") is None
    assert split_docstring(f"Sum of weights.\n\n{words.removesuffix(' word')} Sum of weights.") is None
    assert split_docstring(f"Sum of weights. {words}") is None


def test_a_first_paragraph_that_sums_nothing_up_is_no_query():
    for first in (
        "Parameters\n----------\nx : array\n    The values.",
        "Args:\n    x (int): the values.",
        "input_ids (`torch.LongTensor` of shape `(2,)`): indices of tokens.",
        "Two words",
        " ".join(["long"] * 65),
    ):
        assert split_docstring(f"{first}\n\n{REST}") is None
    assert split_docstring(f"Parameters of a tree.\n\n{REST}") is not None


def test_module_names():
    assert module_name("numpy/linalg/__init__.py") == "numpy.linalg"
    assert module_name("numpy/matlib.py") == "numpy.matlib"
