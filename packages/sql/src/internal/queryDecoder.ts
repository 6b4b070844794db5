/**
 * Rows through a schema, in a plain loop. What a struct of plain columns asks for is checked by a function made for it
 * (a tenth to a fiftieth of the schema's own time); everything else, and every row that this function does not like,
 * goes through the schema itself, which then says what is wrong.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"

/** A decoded row: an `Either` where nothing asynchronous and no service is needed, else an Effect. */
export type Decoded<A, R> = Effect.Effect<A, ParseResult.ParseIssue, R>

/** What the fast function answers to a row that is not for it. */
const declined: unique symbol = Symbol("declined")

type Fast = (row: unknown) => unknown

type Known<A> = Either.Either<A, ParseResult.ParseIssue>

const isKnown = <A, R>(decoded: Decoded<A, R>): decoded is Known<A> => Either.isEither(decoded)

/** Titles the issue, so that a message starts with the query it is about. */
export const titled = (title: string, actual: unknown, issue: ParseResult.ParseIssue): ParseResult.ParseError =>
  new ParseResult.ParseError({
    issue: new ParseResult.Composite(Schema.Unknown.annotations({ title }).ast, actual, issue)
  })

export class RowDecoder<A, R> {
  private readonly slow: (row: unknown) => Decoded<A, R>
  private fast: Fast | undefined
  private readonly title: string

  constructor(query: string, schema: Schema.Schema.Any) {
    this.slow = ParseResult.decodeUnknown(schema as Schema.Schema<A, unknown, R>)
    this.fast = compile(schema.ast)
    this.title = `rows of query "${query}"`
  }

  /** One row. */
  one(row: unknown): Decoded<A, R> {
    const fast = this.fast
    if (fast !== undefined) {
      const value = fast(row)
      if (value !== declined) {
        return Either.right(value as A)
      }
    }
    const decoded = this.slow(row)
    if (fast !== undefined && !isKnown(decoded)) {
      // A column needs an Effect: so it will in every row.
      this.fast = undefined
    }
    return decoded
  }

  /** The error of the row with this number, counted from 0. */
  failure(rows: ReadonlyArray<unknown>, number: number, issue: ParseResult.ParseIssue): ParseResult.ParseError {
    return titled(this.title, rows, new ParseResult.Pointer(number, rows, issue))
  }

  /**
   * Adds the decoded rows to `out`; `before` rows came before these. Undefined once all are there; else the Effect that
   * does the rest, and fails at the first wrong row with all rows before it in `out`.
   */
  into(
    rows: ReadonlyArray<unknown>,
    out: Array<A>,
    before: number
  ): Effect.Effect<void, ParseResult.ParseError, R> | undefined {
    const fast = this.fast
    for (let i = 0; i < rows.length; i++) {
      const value = fast === undefined ? declined : fast(rows[i])
      if (value !== declined) {
        out.push(value as A)
        continue
      }
      const decoded = this.slow(rows[i])
      if (!isKnown(decoded)) {
        this.fast = undefined
        return this.rest(rows, out, before, i, decoded)
      }
      if (decoded._tag === "Left") {
        return Effect.fail(this.failure(rows, before + i, decoded.left))
      }
      out.push(decoded.right)
    }
    return undefined
  }

  private rest(
    rows: ReadonlyArray<unknown>,
    out: Array<A>,
    before: number,
    from: number,
    first: Decoded<A, R>
  ): Effect.Effect<void, ParseResult.ParseError, R> {
    const add = (decoded: Decoded<A, R>, i: number) =>
      Effect.matchEffect(decoded, {
        onFailure: (issue) => Effect.fail(this.failure(rows, before + i, issue)),
        onSuccess: (value) => Effect.sync(() => void out.push(value))
      })
    let i = from
    return Effect.zipRight(
      add(first, i++),
      Effect.whileLoop({
        while: () => i < rows.length,
        body: () => add(this.slow(rows[i]), i++),
        step: () => {}
      })
    )
  }

  /** All rows at once. */
  all(rows: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<A>, ParseResult.ParseError, R> {
    const out: Array<A> = []
    const rest = this.into(rows, out, 0)
    return rest === undefined ? Effect.succeed(out) : Effect.as(rest, out)
  }
}

/** Annotations that change how a node is parsed: such nodes are left to the schema. */
const isPlain = (ast: AST.AST): boolean =>
  Option.isNone(AST.getDecodingFallbackAnnotation(ast)) && Option.isNone(AST.getParseOptionsAnnotation(ast))

const compile = (ast: AST.AST): Fast | undefined => {
  if (!isPlain(ast)) {
    return undefined
  }
  if (AST.isTransformation(ast)) {
    return compileTransformation(ast)
  }
  return AST.isTypeLiteral(ast) ? compileStruct(ast) : AST.isTupleType(ast) ? compileTuple(ast) : undefined
}

/** Encodes requests; the plain ones (a struct or a single value, nothing to transform) as fast as rows are decoded. */
export const makeEncoder = <R>(schema: Schema.Schema.Any): ((request: unknown) => Decoded<unknown, R>) => {
  const slow = ParseResult.encodeUnknown(schema as Schema.Schema<unknown, unknown, R>)
  const fast = isPlain(schema.ast) && !isTransformed(schema.ast) ? compile(wrapped(schema.ast)) : undefined
  if (fast === undefined) {
    return slow
  }
  const isStruct = AST.isTypeLiteral(schema.ast)
  return (request) => {
    const encoded = fast(isStruct ? request : [request])
    return encoded === declined ? slow(request) : Either.right(isStruct ? encoded : (encoded as [unknown])[0])
  }
}

/** Whether anything but a test stands between a value and its encoded form. */
const isTransformed = (ast: AST.AST): boolean =>
  AST.isTypeLiteral(ast)
    ? ast.propertySignatures.some(({ type }) => test(type, "v") === undefined)
    : test(ast, "v") === undefined

/** A single value is compiled as a row of one. */
const wrapped = (ast: AST.AST): AST.AST =>
  AST.isTypeLiteral(ast) ? ast : new AST.TupleType([new AST.OptionalType(ast, false)], [], true)

/** What a `Schema.Class` is: a struct, given to a constructor. */
const compileTransformation = (ast: AST.Transformation): Fast | undefined => {
  const { transformation } = ast
  const from = compile(ast.from)
  if (from === undefined || !AST.isFinalTransformation(transformation)) {
    return undefined
  }
  const to = ParseResult.decodeUnknown(Schema.make<unknown, unknown, never>(ast.to))
  return (row) => {
    const fields = from(row)
    if (fields === declined) {
      return declined
    }
    const made = transformation.decode(fields, {}, ast, row)
    if (!isKnown(made) || made._tag === "Left") {
      return declined
    }
    const checked = to(made.right)
    return isKnown(checked) && checked._tag === "Right" ? checked.right : declined
  }
}

const compileStruct = (ast: AST.TypeLiteral): Fast | undefined => {
  const { indexSignatures, propertySignatures } = ast
  // A name that every object has would be found in a row that lacks it.
  const isFast =
    propertySignatures.length > 0 &&
    indexSignatures.length === 0 &&
    propertySignatures.every(({ isOptional, name }) => !isOptional && typeof name === "string" && !(name in {}))
  return isFast
    ? assemble(
        propertySignatures.map(({ name }) => name as string),
        propertySignatures.map(({ type }) => type),
        "object"
      )
    : undefined
}

const compileTuple = (ast: AST.TupleType): Fast | undefined => {
  const { elements, rest } = ast
  return elements.length > 0 && rest.length === 0 && elements.every(({ isOptional }) => !isOptional)
    ? assemble(
        elements.map((_, i) => i),
        elements.map(({ type }) => type),
        "array"
      )
    : undefined
}

/** A JavaScript expression that is true for the values that pass unchanged; undefined: ask the schema. */
const test = (ast: AST.AST, value: string): string | undefined => {
  if (!isPlain(ast)) {
    return undefined
  }
  switch (ast._tag) {
    case "StringKeyword":
      return `typeof ${value}==="string"`
    case "NumberKeyword":
      return `typeof ${value}==="number"`
    case "BooleanKeyword":
      return `typeof ${value}==="boolean"`
    case "BigIntKeyword":
      return `typeof ${value}==="bigint"`
    case "UnknownKeyword":
    case "AnyKeyword":
      return `${value}!==undefined`
    case "Literal":
      // What JSON cannot write, or not exactly.
      return typeof ast.literal === "bigint" ||
        (typeof ast.literal === "number" && (ast.literal === 0 || !Number.isFinite(ast.literal)))
        ? undefined
        : `${value}===${JSON.stringify(ast.literal)}`
    case "Union": {
      const tests = ast.types.map((type) => test(type, value))
      return tests.includes(undefined) ? undefined : `(${tests.join("||")})`
    }
    default:
      return undefined
  }
}

/** Makes the function for a row's columns, by name or by position. */
const assemble = (
  keys: ReadonlyArray<string | number>,
  types: ReadonlyArray<AST.AST>,
  kind: "object" | "array"
): Fast | undefined => {
  const parsers: Array<((value: unknown) => Decoded<unknown, never>) | undefined> = []
  const read: Array<string> = []
  const tests: Array<string> = [
    kind === "array" ? `Array.isArray(r)&&r.length===${keys.length}` : `typeof r==="object"&&r!==null`
  ]
  const parse: Array<string> = []
  types.forEach((type, i) => {
    const value = `v${i}`
    read.push(`let ${value}=r[${JSON.stringify(keys[i])}]`)
    const passes = test(type, value)
    if (passes !== undefined) {
      tests.push(passes)
      return
    }
    parsers[i] = ParseResult.decodeUnknown(Schema.make<unknown, unknown, never>(type))
    tests.push(`${value}!==undefined`)
    parse.push(`${value}=p[${i}](${value});if(${value}._tag!=="Right")return no;${value}=${value}.right`)
  })
  const made = keys.map((key, i) => (kind === "array" ? `v${i}` : `${JSON.stringify(key)}:v${i}`)).join()
  const [shape, ...columns] = tests
  // Parsers come last: a row that is refused anyway does not go through them twice.
  const body = `"use strict"
return function(r){if(!(${shape}))return no
${read.join(";")}
if(!(${columns.join("&&")}))return no
${parse.join("\n")}
return ${kind === "array" ? `[${made}]` : `{${made}}`}}`
  try {
    return (new Function("p", "no", body) as (p: typeof parsers, no: typeof declined) => Fast)(parsers, declined)
  } catch {
    // Under `--disallow-code-generation-from-strings` the schema decodes every row.
    return undefined
  }
}
