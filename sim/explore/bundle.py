"""The front end's modules as one text, for hosts that take a single module (notebooks)."""

from __future__ import annotations

import re
from pathlib import Path

IMPORT = re.compile(r'^import \{([\w\s,]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
"""The one form of import that is bundled: names as they are, from a file beside."""

DECLARATION = re.compile(r"^(export )?(?:(?:async )?function\*?|class|const|let|var) (\w+)", re.MULTILINE)
"""A name at the top level of a module, where lines aren't indented."""

FORBIDDEN = re.compile(
    r"^(?:import\b|export (?!(?:async )?function\b|class |const |let |var )|(?:const|let|var) [^\w]).*|\bimport\(.*",
    re.MULTILINE,
)
"""What is left of other forms of import and export, and declarations that take things apart, once `IMPORT` is gone."""

ENTRY = re.compile(r"^export default .*", re.MULTILINE)


def bundle(entry: Path) -> str:
    r"""A module and all that it imports, as the text of one module.

    Modules follow one another in the order of their dependencies, without their imports and the word ``export``; only the entry's
    ``export default`` stays. Their top-level names therefore share one scope.

    Parameters
    ----------
    entry : Path
        A module; what it imports lies in the same folder.

    Raises
    ------
    ValueError
        If that can't be done: another form of import or export than ``import { a, b } from "./file.js";`` and ``export`` before a
        declaration, an import in a circle, of a name that isn't exported, or a top-level name in two modules.
    OSError
        If a module isn't there.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "two.js").write_text("export const two = 2;\n")
    >>> _ = (folder / "entry.js").write_text('import { two } from "./two.js";\nexport default { four: two + two };\n')
    >>> print(bundle(folder / "entry.js"))
    const two = 2;
    <BLANKLINE>
    export default { four: two + two };
    <BLANKLINE>
    """
    texts: dict[str, str] = {}
    exported: dict[str, set[str]] = {}
    owner: dict[str, str] = {}

    def add(name: str, importing: tuple[str, ...]) -> None:
        if name in importing:
            raise ValueError(f"{name} imports itself: {' > '.join([*importing, name])}")
        if name in texts:
            return
        text = (entry.parent / name).read_text(encoding="utf-8")
        for names, other in IMPORT.findall(text):
            add(other, (*importing, name))
            for wanted in filter(None, map(str.strip, names.split(","))):
                if wanted not in exported[other]:
                    raise ValueError(f"{name} imports {wanted!r}, which {other} doesn't export")
        rest = IMPORT.sub("", text)
        refused = FORBIDDEN.search(ENTRY.sub("", rest) if name == entry.name else rest)
        if refused:
            raise ValueError(f"{name}: can't bundle {refused[0]!r}")
        declared = DECLARATION.findall(rest)
        for _, declaration in declared:
            if owner.setdefault(declaration, name) != name:
                raise ValueError(f"{declaration!r} stands in {owner[declaration]} and in {name}")
        exported[name] = {declaration for export, declaration in declared if export}
        texts[name] = re.sub(r"^export (?!default )", "", rest, flags=re.MULTILINE).strip("\n") + "\n"

    add(entry.name, ())
    return "\n".join(texts.values())
