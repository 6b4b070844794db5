/** What a text turns out to be, and how it is run. */
import type { Assigned } from "./assigned.js"
import type { Marker } from "./markers.js"
import type { ResultColumn } from "./results.js"
import type { RowNumbers } from "./rowNumbers.js"

export type Verb = "INSERT" | "UPDATE" | "DELETE" | "OTHER"

/** Statements that go to the database. */
export interface Run {
  readonly _tag: "Run"
  readonly text: string
  /** Runs before it: SQLite cannot replace what is there. */
  readonly before?: string | undefined
  readonly query: boolean
  readonly verb: Verb
  /** It changes rows or the schema, so a transaction that begins with it takes the lock for writing at once. */
  readonly writes: boolean
  /** What was known of statements may no longer hold. */
  readonly schemaChange: boolean
  /** Undefined where the text alone does not tell how many columns the result has. */
  readonly columns: ReadonlyArray<ResultColumn> | undefined
  /** Names in quotes: they are names, whatever they look like. */
  readonly quotedNames: ReadonlySet<string>
  readonly markers: ReadonlyArray<Marker> | undefined
  /** A query that has the columns that markers stand for, and where each column is in it. */
  readonly columnQuery: { readonly text: string; readonly indexes: ReadonlyArray<number | undefined> } | undefined
  /** The schema that it creates something in. */
  readonly library?: string | undefined
  /** The one table that it is about; undefined where it is about several or none. */
  readonly table?: string | undefined
  /** Columns that are calculated with, and so must not be dates. In upper case. */
  readonly arithmetic?: ReadonlyArray<string> | undefined
  /** What it gives values to, where these must not be generated. */
  readonly assigned?: Assigned | undefined
  /** Names that must be columns of some table, for SQLite would give a row's number for them. */
  readonly rowNumbers?: RowNumbers | undefined
  /** A query with the columns of the result, for statements whose own description lacks their types. */
  readonly typeQuery: string | undefined
}

/** A procedure's argument; `parameter`: the one that it names. What has to be calculated is known to be there only. */
export type Argument = { readonly parameter?: string | undefined } & (
  | { readonly _tag: "Marker" }
  | { readonly _tag: "Literal"; readonly value: string | null }
  | { readonly _tag: "Expression" }
)

/** What SET SCHEMA names. */
export type SchemaName =
  | { readonly _tag: "Name"; readonly name: string }
  /** Who has signed on. */
  | { readonly _tag: "User" }
  /** The connection's first one. */
  | { readonly _tag: "Default" }
  | { readonly _tag: "Marker" }

export type Statement =
  | Run
  /** `hold`: results stay open, whatever the connection says. */
  | { readonly _tag: "Commit"; readonly hold: boolean }
  | { readonly _tag: "Rollback" }
  | { readonly _tag: "Savepoint"; readonly name: string }
  | { readonly _tag: "RollbackTo"; readonly name: string }
  | { readonly _tag: "Release"; readonly name: string }
  /** SET TRANSACTION. */
  | { readonly _tag: "Isolation"; readonly readOnly: boolean }
  | { readonly _tag: "SetSchema"; readonly to: SchemaName }
  | { readonly _tag: "CreateSchema"; readonly name: string }
  | { readonly _tag: "Lock" }
  | { readonly _tag: "Call"; readonly name: string; readonly arguments: ReadonlyArray<Argument> }
  /** Accepted, without an effect here: GRANT, COMMENT ON and the like. */
  | { readonly _tag: "Nothing" }
