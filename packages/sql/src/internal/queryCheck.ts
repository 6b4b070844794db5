/** A query beside the database's description of its statement: what would go wrong, found without running it. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import type { Problem, Report } from "../Query.js"
import * as SqlClient from "../SqlClient.js"
import type * as SqlTransport from "../SqlTransport.js"
import { insideOf } from "./inside.js"
import type { Definition } from "./query.js"

/** Samples to choose from, always the same ones. */
const sampling = { numRuns: 10, seed: 1 }

interface Compiled {
  readonly text: string
  readonly given: number
}

export const check = <A, R>(
  definition: Definition<A, R>,
  sample: ReadonlyArray<unknown>
): Effect.Effect<Report, SqlError, R | SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.matchEffect(compiled(definition, sql, sample), {
      onFailure: (message) =>
        Effect.succeed<Report>({
          name: definition.name,
          text: "",
          parameters: 0,
          problems: [{ _tag: "NoSample", column: undefined, message }]
        }),
      onSuccess: ({ given, text }) =>
        Effect.map(sql.describe(text), (description): Report => ({
          name: definition.name,
          text,
          parameters: description.parameters,
          problems: [
            ...parameterProblems(description, given),
            ...resultProblems(definition, namesOf(sql, description.columns), description.columns)
          ]
        }))
    })
  )

/** The statement for the sample; of generated ones, for that which has most parameters: an empty list shows little. */
const compiled = <A, R>(
  definition: Definition<A, R>,
  sql: SqlClient.SqlClient,
  sample: ReadonlyArray<unknown>
): Effect.Effect<Compiled, string, R> =>
  Effect.gen(function* () {
    const { Request } = definition.options
    const requests = Request === undefined ? [undefined] : sample.length > 0 ? sample : yield* generate(Request)
    let best: Compiled | undefined
    let reason = ""
    const encoded: Array<unknown> = []
    for (const request of requests) {
      const result = yield* Effect.either(definition.encode(request))
      if (result._tag === "Left") {
        reason = result.left.message
      } else {
        encoded.push(result.right)
      }
    }
    for (const request of definition.batched ? [encoded.slice(0, 2)] : encoded) {
      try {
        const [text, params] = definition.statement(sql, request).compile()
        if (best === undefined || params.length > best.given) {
          best = { text, given: params.length }
        }
      } catch (error) {
        reason = `execute failed: ${String(error)}`
      }
    }
    return best === undefined ? yield* Effect.fail(`No statement for a sample request: ${reason}`) : best
  })

const generate = (schema: Schema.Schema.Any): Effect.Effect<ReadonlyArray<unknown>, string> =>
  Effect.try({
    try: () => FastCheck.sample(Arbitrary.make(Schema.typeSchema(schema as Schema.Schema<unknown>)), sampling),
    catch: (error) => `No sample request could be generated, give one as the second argument: ${String(error)}`
  })

/** Names as the rows will have them, after the client's own transform. */
const namesOf = (sql: SqlClient.SqlClient, columns: ReadonlyArray<SqlTransport.Column>): ReadonlyArray<string> => {
  const { transformRows } = insideOf(sql)
  return columns.map(({ name }) =>
    transformRows === undefined ? name : Object.keys(transformRows([{ [name]: null }])[0]!)[0]!
  )
}

const parameterProblems = ({ parameters }: SqlTransport.Description, given: number): ReadonlyArray<Problem> =>
  parameters === given
    ? []
    : [
        {
          _tag: "ParameterCount",
          column: undefined,
          message: `the statement takes ${parameters} parameters, ${given} are given`
        }
      ]

const resultProblems = <A, R>(
  definition: Definition<A, R>,
  names: ReadonlyArray<string>,
  columns: ReadonlyArray<SqlTransport.Column>
): ReadonlyArray<Problem> => {
  const { Result } = definition.options
  if (Result === undefined) {
    return []
  }
  const ast = AST.encodedAST(Result.ast)
  return definition.rows === "arrays" ? tupleProblems(ast, names, columns) : structProblems(ast, names, columns)
}

/** What the schema wants of each column. */
interface Wanted {
  readonly fields: ReadonlyMap<string, { readonly required: boolean; readonly types: ReadonlyArray<AST.AST> }>
  /** What any other column has to be; undefined where none is welcome. */
  readonly others: ReadonlyArray<AST.AST> | undefined
}

/** Undefined: the schema does not say (a declaration, say). */
const wantedOf = (ast: AST.AST): Wanted | undefined => {
  switch (ast._tag) {
    case "TypeLiteral":
      return {
        fields: new Map(
          ast.propertySignatures.map(({ isOptional, name, type }) => [
            String(name),
            { required: !isOptional, types: [type] }
          ])
        ),
        others: ast.indexSignatures.length > 0 ? ast.indexSignatures.map(({ type }) => type) : undefined
      }
    case "Refinement":
    case "Transformation":
      return wantedOf(ast.from)
    case "Suspend":
      return wantedOf(ast.f())
    case "Union": {
      const members = ast.types.map(wantedOf)
      return members.includes(undefined) ? undefined : merge(members as ReadonlyArray<Wanted>)
    }
    default:
      return undefined
  }
}

/** Of a union: a column is required when every member requires it. */
const merge = (members: ReadonlyArray<Wanted>): Wanted => {
  const names = new Set(members.flatMap(({ fields }) => [...fields.keys()]))
  return {
    fields: new Map(
      [...names].map((name) => {
        const fields = members.map((member) => member.fields.get(name))
        return [
          name,
          {
            required: fields.every((field) => field?.required === true),
            types: fields.flatMap((field) => field?.types ?? [])
          }
        ]
      })
    ),
    others: members.some(({ others }) => others !== undefined)
      ? members.flatMap(({ others }) => others ?? [])
      : undefined
  }
}

/** Unless it certainly refuses a null, it is taken to accept one. */
const acceptsNull = (ast: AST.AST): boolean => {
  switch (ast._tag) {
    case "Literal":
      return ast.literal === null
    case "Union":
      return ast.types.some(acceptsNull)
    case "Refinement":
    case "Transformation":
      return acceptsNull(ast.from)
    case "Suspend":
      return acceptsNull(ast.f())
    case "UnknownKeyword":
    case "AnyKeyword":
    case "Declaration":
      return true
    default:
      return false
  }
}

const nullable = (column: string): Problem => ({
  _tag: "NullableColumn",
  column,
  message: `column "${column}" may be null, its schema does not accept null`
})

const structProblems = (
  ast: AST.AST,
  names: ReadonlyArray<string>,
  columns: ReadonlyArray<SqlTransport.Column>
): ReadonlyArray<Problem> => {
  const wanted = wantedOf(ast)
  const problems: Array<Problem> = []
  for (const [column, { required }] of wanted?.fields ?? []) {
    if (required && !names.includes(column)) {
      problems.push({
        _tag: "MissingColumn",
        column,
        message: `column "${column}" of the schema is not in the result (${names.join(", ") || "no columns"})`
      })
    }
  }
  names.forEach((column, i) => {
    if (names.indexOf(column) !== i) {
      problems.push({ _tag: "DuplicateColumn", column, message: `column "${column}" is in the result more than once` })
      return
    }
    const field = wanted?.fields.get(column)
    const types = field?.types ?? wanted?.others
    if (wanted !== undefined && types === undefined) {
      problems.push({ _tag: "UnknownColumn", column, message: `column "${column}" of the result is not in the schema` })
    }
    if (types !== undefined && columns[i]!.nullable === true && !types.some(acceptsNull)) {
      problems.push(nullable(column))
    }
  })
  return problems
}

const tupleProblems = (
  ast: AST.AST,
  names: ReadonlyArray<string>,
  columns: ReadonlyArray<SqlTransport.Column>
): ReadonlyArray<Problem> => {
  if (ast._tag !== "TupleType") {
    return []
  }
  const { elements, rest } = ast
  const least = elements.filter(({ isOptional }) => !isOptional).length + Math.max(0, rest.length - 1)
  const most = rest.length > 0 ? Infinity : elements.length
  if (names.length < least || names.length > most) {
    const wanted = most === least ? `${least}` : most === Infinity ? `at least ${least}` : `${least} to ${most}`
    const message = `the result has ${names.length} columns, the schema wants ${wanted}`
    return [{ _tag: "ColumnCount", column: undefined, message }]
  }
  // One element may be repeated, those behind it are the last ones.
  const tail = names.length - (rest.length - 1)
  return names
    .filter((_, i) => {
      const type = elements[i]?.type ?? (rest.length > 1 && i >= tail ? rest[i - tail + 1] : rest[0])?.type
      return columns[i]!.nullable === true && type !== undefined && !acceptsNull(type)
    })
    .map(nullable)
}
