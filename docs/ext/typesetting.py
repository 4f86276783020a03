"""Powers and indices of formulas in running text, raised and lowered as in the report: no script, no other host."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from verification.report.typesetting import pieces

_NODES = {"": nodes.Text, "sup": nodes.superscript, "sub": nodes.subscript}


class Typesetting(SphinxPostTransform):
    """Of all texts but code, titles and signatures."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Replace each formula in a text by its parts."""
        for text in list(self.document.findall(nodes.Text)):
            if ("^" in text or "_" in text) and not _literal(text):
                text.parent.replace(text, _parts(str(text)))


def _literal(node: nodes.Node) -> bool:
    while node.parent is not None:
        node = node.parent
        kinds = nodes.literal | nodes.FixedTextElement | nodes.raw | nodes.title
        # Sphinx-gallery's code blocks are nodes of its own.
        if isinstance(node, kinds) or type(node).__module__.startswith("sphinx_gallery"):
            return True
        if any(name.startswith("sig") for name in node.get("classes", ())):
            return True
    return False


def _parts(text: str) -> list[nodes.Node]:
    found: list[nodes.Node] = []
    for kind, part in pieces(text):
        found.append(_NODES[kind]("", "", *_parts(part)) if kind else nodes.Text(part))
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect."""
    app.add_post_transform(Typesetting)
    return {"parallel_read_safe": True}
