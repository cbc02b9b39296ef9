"""Conditions on a table's columns, as text: comparisons, and/or/not/in and arithmetic. Nothing in them is ever run as Python."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sim.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

MOST_CHARACTERS = 2000
DEEPEST = 50

COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|`([^`]*)`""")
"""A text, which stays as it is, or a column between backticks."""


def select(table: pd.DataFrame, query: str) -> pd.DataFrame:
    """The rows for which a condition is true.

    Parameters
    ----------
    table : DataFrame
    query : str
        Columns by their names, dots and all, between backticks if they are no Python names; numbers, texts, True, False; ``==``,
        ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in [...]``, ``not in [...]``; ``and``, ``or``, ``not``; ``+ - * / // %``. At most
        2,000 characters.

    Raises
    ------
    InvalidInput
        For anything else, a column that isn't there, and values that can't be compared.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"loss.name": ["triplet", "margin"], "noise.level": [0.1, 0.2]})
    >>> select(table, 'loss.name in ["margin", "npair"] and 0 < noise.level <= 0.2')["loss.name"].tolist()
    ['margin']
    >>> select(table, '@os.system("...") == 0')
    Traceback (most recent call last):
    sim.errors.InvalidInput: query: got '@os.system("...") == 0'; allowed: a condition on columns (invalid syntax)
    """
    chosen: pd.DataFrame = table[_rows(table, query, whole=True)]
    return chosen.reset_index(drop=True)


def possible(table: pd.DataFrame, query: str) -> pd.DataFrame:
    """The rows for which a condition may be true as far as the table's columns tell: parts of an ``and`` on others are left out.

    Parameters, and what is raised: see `select`.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"loss.name": ["triplet", "margin"]})
    >>> possible(table, 'loss.name == "margin" and recall_at_1 > 0.5')["loss.name"].tolist()
    ['margin']
    >>> len(possible(table, 'loss.name == "margin" or recall_at_1 > 0.5'))
    2
    """
    kept: pd.DataFrame = table[_rows(table, query, whole=False)]
    return kept


def named(query: str) -> set[str]:
    """The columns that a condition names; none for what is no condition.

    Examples
    --------
    >>> sorted(named('loss.name == "margin" and `a b` + 1 < seed'))
    ['a b', 'loss.name', 'seed']
    """
    try:
        parsed = _Query(query)
    except (SyntaxError, _Refused):
        return set()
    return parsed.names(parsed.body)


def _rows(table: pd.DataFrame, query: str, *, whole: bool) -> Any:
    """True for the rows chosen, by the whole query or by its parts that name columns of the table."""
    import pandas as pd

    try:
        parsed = _Query(query)
        chosen: Any = pd.Series(True, index=table.index)
        for part in [parsed.body] if whole else parsed.parts():
            if whole or parsed.names(part) <= set(table.columns):
                value = parsed.value(part, table)
                if not isinstance(value, pd.Series) or value.dtype != bool:
                    raise _Refused("it is to be true or false for each row")
                chosen &= value
        return chosen
    except SyntaxError as error:
        reason = error.msg
    except (_Refused, TypeError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split()) or "it is nested too deeply"
    raise InvalidInput("query", query, f"a condition on columns ({reason})")


class _Refused(Exception):
    """What a query may not hold."""


class _Query:
    """A query that has been read."""

    def __init__(self, query: str) -> None:
        if len(query) > MOST_CHARACTERS:
            raise _Refused(f"of at most {MOST_CHARACTERS} characters")
        self.quoted: dict[str, str] = {}
        self.body = ast.parse(QUOTED.sub(self._quote, query.strip()), mode="eval").body

    def parts(self) -> list[ast.expr]:
        """What must be true for the whole to be true."""
        body = self.body
        return body.values if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And) else [body]

    def names(self, node: ast.AST) -> set[str]:
        """The columns below a node."""
        found: set[str] = set()
        waiting = [node]
        while waiting:
            at = waiting.pop()
            try:
                found.add(self._name(at))
            except _Refused:
                waiting += ast.iter_child_nodes(at)
        return found

    def value(self, node: ast.AST, table: pd.DataFrame) -> Any:
        """A node's value for a table."""
        self.table = table
        return self._value(node, 0)

    def _quote(self, found: re.Match[str]) -> str:
        if found[1] is not None:
            return found[1]
        name = f"_quoted_{len(self.quoted)}"
        self.quoted[name] = found[2]
        return name

    def _value(self, node: ast.AST, depth: int) -> Any:
        if depth > DEEPEST:
            raise _Refused("it is nested too deeply")

        def inside(part: ast.AST) -> Any:
            return self._value(part, depth + 1)

        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return [inside(part) for part in parts]
            case ast.Name() | ast.Attribute():
                return self._column(node)
            case ast.BoolOp(op=op, values=parts):
                joined = _truth(inside(parts[0]))
                for part in parts[1:]:
                    joined = (operator.and_ if isinstance(op, ast.And) else operator.or_)(joined, _truth(inside(part)))
                return joined
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return _truth(inside(part)) ^ True
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return -_number(inside(part))
            case ast.UnaryOp(op=ast.UAdd(), operand=part):
                return _number(inside(part))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                return ARITHMETIC[type(op)](_number(inside(left)), _number(inside(right)))
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [inside(left), *map(inside, others)]
                compared = [_compare(a, op, b) for a, op, b in zip(sides, ops, sides[1:], strict=False)]
                joined = compared[0]
                for one in compared[1:]:
                    joined = joined & one
                return joined
        raise _Refused(
            f"columns, numbers, texts, comparisons, and/or/not/in and arithmetic only, not {ast.unparse(node)!r}"
        )

    def _column(self, node: ast.AST) -> Any:
        name = self._name(node)
        if name not in self.table.columns:
            raise _Refused(f"there is no column {name!r}")
        return self.table[name]

    def _name(self, node: ast.AST) -> str:
        """The column that a node names."""
        names = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            raise _Refused("columns by their names only")
        return ".".join([self.quoted.get(node.id, node.id), *reversed(names)])


def _truth(value: Any) -> Any:
    import pandas as pd

    if value is True or value is False or (isinstance(value, pd.Series) and value.dtype == bool):
        return value
    raise _Refused("and, or, not stand between conditions")


def _number(value: Any) -> Any:
    import pandas as pd

    numeric = isinstance(value, pd.Series) and pd.api.types.is_numeric_dtype(value) and value.dtype != bool
    if numeric or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise _Refused("arithmetic is done with numbers")


def _compare(a: Any, op: ast.cmpop, b: Any) -> Any:
    import pandas as pd

    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(b, list) or not isinstance(a, pd.Series) or any(isinstance(v, (pd.Series, list)) for v in b):
            raise _Refused("in stands between a column and a list of values")
        return a.isin(b) ^ isinstance(op, ast.NotIn)
    if type(op) not in COMPARISONS or isinstance(a, list) or isinstance(b, list):
        raise _Refused("comparisons of columns and values only")
    return COMPARISONS[type(op)](a, b)
