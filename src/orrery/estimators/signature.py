"""What a model asks for and what it answers."""

from __future__ import annotations

from collections.abc import Collection, Set
from functools import cached_property

import pyarrow as pa

from orrery.data.windows import Windows
from orrery.errors import SchemaError, SettingsError, UnknownColumnError, listing
from orrery.estimators.answer import answer_fields
from orrery.features.target import Target
from orrery.schema import Schema
from orrery.spec import Spec


class Signature(Spec):
    """The columns that a model reads, and the column that it predicts.

    >>> target = Target(name="kind", kind="category", type="string", labels=("cat", "dog"), width=2)
    >>> signature = Signature(inputs=Schema.of(pa.schema({"weight": pa.float64()})), target=target)
    >>> signature.outputs.names
    ['prediction', 'probability', 'probabilities']
    """

    inputs: Schema
    """What a row must have."""
    target: Target
    windows: Windows | None = None
    """What happened before, which the model reads too: computed where a row does not bring it."""

    @cached_property
    def outputs(self) -> pa.Schema:
        """The Arrow fields that a prediction adds to its row."""
        return pa.schema(answer_fields(self.target))

    @cached_property
    def whole(self) -> Schema:
        """The inputs, and the columns of the windows."""
        if self.windows is None:
            return self.inputs
        return Schema(fields=(*self.inputs.each(), *self.windows.fields))

    def lacks_windows(self, columns: Collection[str]) -> bool:
        """Whether what happened before must be computed. Raises SchemaError where rows bring some of it."""
        names = self.windows.names if self.windows is not None else ()
        have = [name for name in names if name in columns]
        if have and len(have) < len(names):
            lack = [name for name in names if name not in columns]
            raise SchemaError(
                f"The rows have the windows {listing(have)}, and lack {listing(lack)}.",
                hint="Bring all of them, or none: then they are computed.",
            )
        return len(have) < len(names)

    @cached_property
    def _needed(self) -> frozenset[str]:
        return frozenset(self.inputs.names)

    @cached_property
    def _added(self) -> frozenset[str]:
        return frozenset(self.outputs.names)

    def check(self, columns: Collection[str]) -> None:
        """Whether rows with these columns can be answered. Raises SchemaError, SettingsError."""
        have = columns if isinstance(columns, Set) else set(columns)
        if self._needed <= have and self._added.isdisjoint(have):
            return
        if missing := [name for name in self.inputs.names if name not in have]:
            raise self._lack(missing, columns)
        clash = [name for name in self.outputs.names if name in have]
        if clash:
            raise SettingsError(
                f"The rows already have {listing(clash)}, which the predictions would be called.",
                hint="Rename or leave out these columns first.",
            )

    def _lack(self, missing: list[str], columns: Collection[str]) -> SchemaError:
        said = (
            f"The model needs the columns {listing(self.inputs.names)}; the rows have "
            f"{listing(columns)}, and lack {listing(missing)}."
        )
        if len(missing) > 1:
            return SchemaError(said)
        error = UnknownColumnError(missing[0], columns)
        error.message = said
        return error

    def answered(self, schema: pa.Schema) -> pa.Schema:
        """The Arrow schema of rows with their predictions beside them."""
        return pa.schema([*schema, *self.outputs])
